"""Signatures that AWS published: its Signature Version 4 test suite, and the worked example of its documentation."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from penstock.providers.aws_signature import Signer, canonical_request

AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SIGNER = Signer("AKIDEXAMPLE", SECRET, "us-east-1", "service")
HOST = {"Host": "example.amazonaws.com"}
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "13"}
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwt"
    "hAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVX"
    "AkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)


def signature(signer: Signer, method: str, target: str, headers: dict[str, str], content: bytes = b"") -> str:
    return signer.sign(method, target, headers, content, AT)["authorization"].rpartition("Signature=")[2]


@pytest.mark.parametrize(
    ("method", "target", "headers", "expected"),
    [
        ("GET", "/", {}, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", {}, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("GET", "/ሴ", {}, "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        ("GET", "/example space/", {}, "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
        (
            "GET",
            "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
            {},
            "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
        ),
        (
            "POST",
            "/",
            {"My-Header1": "value1"},
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        ),
        (
            "GET",
            "/",
            {"My-Header1": " value1", "My-Header2": ' "a   b   c"'},
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
    ],
    ids=["get", "post", "utf-8", "space", "query order", "header order", "header spaces"],
)
def test_the_suite(method: str, target: str, headers: dict[str, str], expected: str) -> None:
    assert signature(SIGNER, method, target, HOST | headers) == expected


@pytest.mark.parametrize(
    ("target", "like"),
    [
        ("/./", "/"),
        ("/./example", "/example"),
        ("/example/..", "/"),
        ("/example1/example2/../..", "/"),
        ("//example//", "/example/"),
        ("/../a", "/a"),
    ],
)
def test_a_path_is_normalised(target: str, like: str) -> None:
    """The suite's cases of these names have the signature of the plain path."""
    assert signature(SIGNER, "GET", target, HOST) == signature(SIGNER, "GET", like, HOST)


def test_a_body_counts() -> None:
    digest = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"
    headers = HOST | FORM | {"x-amz-content-sha256": digest}
    expected = "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"
    assert signature(SIGNER, "POST", "/", headers, b"Param1=value1") == expected
    assert signature(SIGNER, "POST", "/", headers, b"Param1=value2") != expected


def test_a_session_token_is_sent_and_signed() -> None:
    temporary = replace(SIGNER, session_token=TOKEN)
    added = temporary.sign("POST", "/", HOST, b"", AT)
    assert added == {
        "x-amz-date": "20150830T123600Z",
        "x-amz-security-token": TOKEN,
        "authorization": (
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            "SignedHeaders=host;x-amz-date;x-amz-security-token, "
            "Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
        ),
    }


def test_the_documentations_example() -> None:
    """`ListUsers` of IAM, as the guide works it out step by step."""
    signer = replace(SIGNER, service="iam")
    headers = {
        "Host": "iam.amazonaws.com",
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
    }
    expected = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    assert signature(signer, "GET", "/?Action=ListUsers&Version=2010-05-08", headers) == expected


def test_a_path_is_encoded_once_more_than_on_the_wire() -> None:
    """A colon that travels as it is counts as `%3A`, a slash that travels as `%2F` counts as `%252F`."""
    canonical = canonical_request("POST", "/model/a:0%2Fb/converse", {"host": "h"}, "host", b"")
    assert canonical.split("\n")[:4] == ["POST", "/model/a%3A0%252Fb/converse", "", "host:h"]


def test_the_time_is_told_in_utc() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=-9)))
    assert SIGNER.sign("GET", "/", HOST, b"", elsewhere) == SIGNER.sign("GET", "/", HOST, b"", AT)


def test_no_secret_is_shown() -> None:
    assert SECRET not in repr(SIGNER)
    assert TOKEN not in repr(replace(SIGNER, session_token=TOKEN))
