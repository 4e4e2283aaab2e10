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


def test_no_thread_of_the_pool_sets_the_prefetch_count():
    """It would wait on the channel that the consumer reads, and both for ever."""
    assert make_app("amqp://127.0.0.1:1//", ["p"]).conf.worker_enable_prefetch_count_reduction is False
