"""Message batches through the unmodified anthropic SDK."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import anthropic
import openai
import pytest
from acceptance.conftest import KEY, OTHER_KEY, SECRET, Stack
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse

PATH = "/v1/messages/batches"
UNKNOWN = "msgbatch_" + "0" * 32


@pytest.fixture
def messages(stack: Stack) -> anthropic.Anthropic:
    return stack.anthropic_client()


def one(custom_id: str, text: str = "hi", model: str = "fast", **params: Any) -> Any:
    message = {"role": "user", "content": text}
    return {"custom_id": custom_id, "params": {"model": model, "max_tokens": 100, "messages": [message]} | params}


def wait(client: anthropic.Anthropic, batch_id: str, seconds: float = 120) -> MessageBatch:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        batch = client.messages.batches.retrieve(batch_id)
        if batch.processing_status == "ended":
            assert batch.request_counts.processing == 0
            return batch
        assert counts(batch)[1:] == (0, 0, 0, 0), "nothing is told before the end"
        assert (batch.ended_at, batch.results_url) == (None, None)
        time.sleep(0.1)
    raise AssertionError(f"the batch did not end: {batch}")


def results_of(client: anthropic.Anthropic, batch_id: str) -> dict[str, Any]:
    lines = list(client.messages.batches.results(batch_id))
    for line in lines:
        MessageBatchIndividualResponse.model_validate(line.to_dict())
    found = {line.custom_id: line.result for line in lines}
    assert len(found) == len(lines), "every custom_id once"
    return found


def counts(batch: MessageBatch) -> tuple[int, int, int, int, int]:
    found = batch.request_counts
    return found.processing, found.succeeded, found.errored, found.canceled, found.expired


def test_every_request_is_answered_once_over_two_providers(messages: anthropic.Anthropic, stack: Stack):
    text = "answer {} é 漢字 \u2028 🙂"
    made = messages.messages.batches.create(
        requests=[one(f"q-{n}", f"[[echo: {text.format(n)}]]", "fast" if n % 2 else "claude") for n in range(120)]
    )
    assert made.id.startswith("msgbatch_")
    assert (made.type, made.processing_status, counts(made)) == ("message_batch", "in_progress", (120, 0, 0, 0, 0))
    assert (made.expires_at - made.created_at).total_seconds() == 24 * 3600
    assert made._request_id
    batch = wait(messages, made.id)
    assert counts(batch) == (0, 120, 0, 0, 0)
    assert batch.ended_at is not None
    assert batch.created_at <= batch.ended_at < batch.expires_at
    assert batch.results_url == f"{stack.url}{PATH}/{batch.id}/results"
    for _ in range(2):
        found = results_of(messages, batch.id)
        assert list(found) == [f"q-{n}" for n in range(120)]
        for n in range(120):
            answer = found[f"q-{n}"]
            assert answer.type == "succeeded"
            assert answer.message.content[0].text == text.format(n)
            assert (answer.message.model, answer.message.stop_reason) == ("fast" if n % 2 else "claude", "end_turn")
            assert answer.message.usage.output_tokens > 0


def raw(stack: Stack, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    place = urlsplit(stack.url)
    connection = http.client.HTTPConnection(place.netloc, timeout=60)
    connection.request("GET", path, headers={"x-api-key": KEY, **headers})
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def test_results_are_plain_lines_of_ascii(messages: anthropic.Anthropic, stack: Stack):
    requests = [one(f"q-{n}", "[[echo: é\u2028\u0085🙂]]") for n in range(450)]
    batch = wait(messages, messages.messages.batches.create(requests=requests).id)
    status, headers, body = raw(stack, f"{PATH}/{batch.id}/results")
    assert (status, headers["content-type"]) == (200, "application/x-jsonl")
    assert body.isascii()
    assert body.endswith(b"\n")
    lines = body.split(b"\n")[:-1]
    assert len(lines) == 450 == len(body.splitlines())
    assert all(json.loads(line)["custom_id"] == f"q-{n}" for n, line in enumerate(lines))


def test_results_are_found_where_the_client_sees_the_service(messages: anthropic.Anthropic, stack: Stack):
    batch = wait(messages, messages.messages.batches.create(requests=[one("a")]).id)
    status, _, body = raw(
        stack, f"{PATH}/{batch.id}", **{"x-forwarded-host": "llm.example.com", "x-forwarded-proto": "https"}
    )
    assert (status, json.loads(body)["results_url"]) == (
        200,
        f"https://llm.example.com{PATH}/{batch.id}/results",
    )
    _, _, body = raw(stack, f"{PATH}/{batch.id}", host="no{such}host")
    assert json.loads(body)["results_url"] == f"{PATH}/{batch.id}/results"


def test_a_request_that_fails_fails_alone(messages: anthropic.Anthropic, stack: Stack):
    long = one("too-long", "word " * 20_000)
    no_limit = one("no-limit")
    del no_limit["params"]["max_tokens"]
    batch = messages.messages.batches.create(
        requests=[
            one("good", "[[echo: fine]]", stream=True),
            one("unknown", model="nope"),
            no_limit,
            one("refused", "[[error: 400]]"),
            one("stubborn", "[[fail: 2]] stubborn", "claude"),
            one("odd", temperature="hot"),
            long,
            {"custom_id": "empty", "params": {}},
            one("number", metadata={"user_id": "x"}, tools=[], top_k=5),
        ]
    )
    ended = wait(messages, batch.id)
    assert counts(ended) == (0, 3, 6, 0, 0)
    found = results_of(messages, ended.id)
    assert {name for name, result in found.items() if result.type == "succeeded"} == {"good", "stubborn", "number"}
    assert found["good"].message.content[0].text == "fine"
    assert found["unknown"].error.error.type == "not_found_error"
    assert "nope" in found["unknown"].error.error.message
    for name, says in [("no-limit", "max_tokens"), ("odd", "temperature"), ("empty", "model"), ("refused", "")]:
        error = found[name].error
        assert (error.type, error.error.type) == ("error", "invalid_request_error")
        assert says in error.error.message
        assert error.request_id


def test_a_batch_of_nothing_but_wrong_requests_ends(messages: anthropic.Anthropic):
    batch = messages.messages.batches.create(requests=[one(f"q-{n}", model="nope") for n in range(2500)])
    assert counts(wait(messages, batch.id)) == (0, 0, 2500, 0, 0)
    assert len(results_of(messages, batch.id)) == 2500


def test_cancel_keeps_what_was_answered(messages: anthropic.Anthropic, stack: Stack):
    batches = messages.messages.batches
    before = stack.openai_wire.stats()["succeeded"]
    made = batches.create(requests=[one(f"q-{n}", f"[[delay: {0 if n < 5 else 60000}]] {n}") for n in range(600)])
    deadline = time.monotonic() + 60
    while stack.openai_wire.stats()["succeeded"] < before + 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)  # some of the answers are committed
    flagged = batches.cancel(made.id)
    assert flagged.processing_status == "canceling"
    assert flagged.cancel_initiated_at is not None
    assert counts(flagged) == (600, 0, 0, 0, 0)
    with pytest.raises(anthropic.NotFoundError):
        messages.get(f"{PATH}/{made.id}/results", cast_to=object)
    ended = wait(messages, made.id)
    answered = ended.request_counts.succeeded
    assert counts(ended) == (0, answered, 0, 600 - answered, 0)
    assert 1 <= answered <= 5
    found = results_of(messages, made.id)
    assert len(found) == 600
    assert {name for name, result in found.items() if result.type == "succeeded"} <= {f"q-{n}" for n in range(5)}
    assert sum(result.type == "canceled" for result in found.values()) == 600 - answered
    again = batches.cancel(made.id)
    assert (again.processing_status, again.cancel_initiated_at) == ("ended", ended.cancel_initiated_at)


def test_cancelling_at_once_and_at_the_end(messages: anthropic.Anthropic):
    """Whichever comes first, the batch ends and its counts fit its results."""
    batches = messages.messages.batches
    for pause in (0.0, 0.05, 0.1, 0.2, 0.4):
        made = batches.create(requests=[one(f"q-{n}") for n in range(20)])
        time.sleep(pause)
        assert batches.cancel(made.id).processing_status in ("canceling", "ended")
        ended = wait(messages, made.id)
        found = [result.type for result in results_of(messages, made.id).values()]
        _, succeeded, errored, canceled, _ = counts(ended)
        assert (found.count("succeeded"), found.count("errored"), found.count("canceled")) == (
            succeeded,
            errored,
            canceled,
        )
        assert len(found) == 20


def test_delete(messages: anthropic.Anthropic, stack: Stack):
    batches = messages.messages.batches
    made = batches.create(requests=[one("a", "[[delay: 60000]]")])
    with pytest.raises(anthropic.BadRequestError, match="ended"):
        batches.delete(made.id)
    batches.cancel(made.id)
    ended = wait(messages, made.id)
    with pytest.raises(anthropic.NotFoundError):
        stack.anthropic_client(OTHER_KEY).messages.batches.delete(made.id)
    gone = batches.delete(made.id)
    assert (gone.id, gone.type) == (made.id, "message_batch_deleted")
    for call in (batches.retrieve, batches.cancel, batches.delete, batches.results):
        with pytest.raises(anthropic.NotFoundError):
            call(made.id)
    assert raw(stack, urlsplit(ended.results_url or "").path)[0] == 404
    assert made.id not in [batch.id for batch in batches.list()]


def test_lists_page_without_repeating_or_skipping(messages: anthropic.Anthropic, stack: Stack):
    other = stack.anthropic_client(OTHER_KEY)
    for old in other.messages.batches.list(limit=3):
        wait(other, old.id)
        other.messages.batches.delete(old.id)
    assert list(other.messages.batches.list()) == []
    made = [other.messages.batches.create(requests=[one("a")]).id for _ in range(5)][::-1]
    assert [batch.id for batch in other.messages.batches.list(limit=2)] == made
    page = other.messages.batches.list(limit=2, before_id=made[4])
    assert ([batch.id for batch in page.data], page.has_more, page.first_id) == (made[2:4], True, made[2])
    assert [batch.id for batch in page] == [*made[2:4], *made[:2]], "the SDK walks back, page by page"
    assert [batch.id for batch in other.messages.batches.list(limit=1000, after_id=made[3])] == made[4:]
    assert not set(made) & {batch.id for batch in messages.messages.batches.list(limit=1000)}
    for wrong in (
        {"limit": 0},
        {"limit": 1001},
        {"after_id": UNKNOWN},
        {"after_id": "x"},
        {"before_id": made[0], "after_id": made[0]},
    ):
        with pytest.raises(anthropic.BadRequestError):
            other.messages.batches.list(**wrong)  # type: ignore[arg-type]
    for call in (
        messages.messages.batches.retrieve,
        messages.messages.batches.cancel,
        messages.messages.batches.results,
    ):
        for batch_id in (made[0], UNKNOWN, "msgbatch_nonsense", "batch_" + made[0].removeprefix("msgbatch_")):
            with pytest.raises(anthropic.NotFoundError):
                call(batch_id)


def test_neither_interface_shows_the_others_batches(messages: anthropic.Anthropic, client: openai.OpenAI, stack: Stack):
    made = messages.messages.batches.create(requests=[one("a")])
    digits = made.id.removeprefix("msgbatch_")
    for seen in (made, wait(messages, made.id)):
        assert seen.id not in json.dumps([batch.to_dict() for batch in client.batches.list(limit=100)])
        assert digits not in json.dumps([batch.to_dict() for batch in client.batches.list(limit=100)])
        with pytest.raises(openai.NotFoundError):
            client.batches.retrieve("batch_" + digits)
        with pytest.raises(openai.NotFoundError):
            client.batches.cancel("batch_" + digits)
    assert all(file.filename != "requests.jsonl" for file in client.files.list())
    assert not [file for file in client.files.list() if digits in file.filename]
    with pytest.raises(openai.BadRequestError):
        client.files.create(file=b"{}\n", purpose="message_batch")  # type: ignore[arg-type]
    file = client.files.create(file=b"{}\n", purpose="batch")
    with pytest.raises(openai.BadRequestError):
        client.batches.create(input_file_id=file.id, endpoint="/v1/messages", completion_window="24h")  # type: ignore[arg-type]


def test_the_webhook_of_the_end_verifies(messages: anthropic.Anthropic, stack: Stack):
    batch = wait(messages, messages.messages.batches.create(requests=[one("a")]).id)
    headers, body = stack.webhooks.wait_for(batch.id)
    event = stack.client(webhook_secret=SECRET).webhooks.unwrap(body, headers)
    assert (event.type, event.data.id) == ("batch.completed", batch.id)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "requests"),
        ({"requests": []}, "requests"),
        ({"requests": {}}, "requests"),
        ({"requests": [1]}, "requests[0]"),
        ({"requests": [{"params": {}}]}, "requests[0].custom_id"),
        ({"requests": [{"custom_id": "a"}]}, "requests[0].params"),
        ({"requests": [{"custom_id": "a b", "params": {}}]}, "requests[0].custom_id"),
        ({"requests": [{"custom_id": "a", "params": {}}] * 2}, "requests[1].custom_id"),
        ([], "object"),
        (b"", "parse"),
        (b'{"requests": [', "parse"),
        ({"requests": [{"custom_id": f"q{n}", "params": {}} for n in range(100_001)]}, "100000"),
    ],
)
def test_create_refuses_what_cannot_be(stack: Stack, body: Any, says: str):
    before = len(list(stack.anthropic_client().messages.batches.list(limit=1000)))
    status, answer = stack.call("POST", PATH, body)
    assert (status, answer["type"], answer["error"]["type"]) == (400, "error", "invalid_request_error")
    assert says in answer["error"]["message"]
    assert answer["request_id"]
    assert len(list(stack.anthropic_client().messages.batches.list(limit=1000))) == before


def test_without_a_key_nothing_is_read(stack: Stack):
    status, answer = stack.call("POST", PATH, {"requests": []}, key=None)
    assert (status, answer["error"]["type"]) == (401, "authentication_error")


def large(megabytes: int) -> Iterator[bytes]:
    """A body of about so many megabytes, 200 kB a request."""
    text = b"x" * 199_000
    yield b'{"requests": ['
    for n in range(megabytes * 5):
        comma = b"," if n else b""
        yield comma + b'{"custom_id": "q-%d", "params": {"model": "nope", "max_tokens": 9, "x": "%s"}}' % (n, text)
    yield b"]}"


def test_a_body_over_the_limit_is_too_large(stack: Stack):
    """Also when its length was not told."""
    place = urlsplit(stack.url)
    connection = http.client.HTTPConnection(place.netloc, timeout=300)
    connection.request("POST", PATH, body=large(270), headers={"x-api-key": KEY}, encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]["type"]) == (413, "request_too_large")
    connection.close()


def test_a_large_body_neither_fills_the_memory_nor_stops_the_others(stack: Stack, messages: anthropic.Anthropic):
    import psutil

    api = next(
        child
        for child in psutil.Process(stack.process.pid).children(recursive=True)
        if child.cmdline()[1:3] == ["-m", "api"]
    )
    before, peak, uploading = api.memory_info().rss, 0, True
    answers: list[tuple[int, Any]] = []

    def upload() -> None:
        connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=300)
        connection.request("POST", PATH, body=large(150), headers={"x-api-key": KEY}, encode_chunked=True)
        answer = connection.getresponse()
        answers.append((answer.status, json.loads(answer.read())))

    thread = threading.Thread(target=upload)
    thread.start()
    while uploading:
        uploading = thread.is_alive()
        peak = max(peak, api.memory_info().rss)
        messages.models.list()
        time.sleep(0.02)
    thread.join()
    assert answers[0][0] == 200
    assert answers[0][1]["request_counts"]["processing"] == 750
    assert peak - before < 60_000_000, "the body has 150 MB"
    assert counts(wait(messages, answers[0][1]["id"])) == (0, 0, 750, 0, 0)
