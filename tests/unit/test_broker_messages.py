"""Messages of the broker are JSON and nothing else: whoever can write to it can have no code run."""

import pytest
from kombu.exceptions import ContentDisallowed
from kombu.serialization import dumps, loads, prepare_accept_content

from penstock.broker import make_app


def test_what_is_not_json_is_refused():
    app = make_app("redis://127.0.0.1:1/0", ["p"])
    allowed = prepare_accept_content(app.conf.accept_content)
    kind, encoding, body = dumps({"a": 1}, serializer="json")
    assert loads(body, kind, encoding, accept=allowed) == {"a": 1}
    kind, encoding, body = dumps({"a": 1}, serializer="pickle")
    with pytest.raises(ContentDisallowed):
        loads(body, kind, encoding, accept=allowed)
    assert (app.conf.task_serializer, app.conf.result_backend) == ("json", None)
