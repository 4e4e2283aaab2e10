"""Lines of a batch's input file that could be read but never be stored."""

import pytest

from penstock.submission.batch_file import LineError, read_line


@pytest.mark.parametrize("value", [b"1e999", b"-1e999", b"[" * 1005 + b"]" * 1005], ids=["large", "small", "deep"])
def test_a_body_that_cannot_be_written_again_fails_its_line(value: bytes):
    """Its job could not be inserted, and the file would be read for ever."""
    line = b'{"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"model": "m", "x": ' + value + b"}}"
    error = read_line(4, line, "/v1/responses", {"m"})
    assert isinstance(error, LineError)
    assert (error.code, error.line) == ("invalid_json_line", 4)
