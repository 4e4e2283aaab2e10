"""The edges of HTTP: headers on every answer, hostile bodies, paths and ids. Everything leaves in the envelope."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from acceptance.conftest import KEY, SMALL_KEY, Stack

HI = [{"role": "user", "content": "hi"}]
OBJECT = {"model": "fast", "input": "x"}


@contextmanager
def asked(
    stack: Stack, method: str, path: str, body: bytes | None = None, key: str | None = KEY, **headers: str
) -> Iterator[tuple[int, dict[str, str], Any]]:
    """Status, headers and body of a request as it is written here, with nothing made nicer on its way."""
    connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=30)
    sent = {"content-type": "application/json", **headers} | ({"authorization": f"Bearer {key}"} if key else {})
    connection.request(method, path, body, sent)
    answer = connection.getresponse()
    text = answer.read()
    yield answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(text or b"null")
    connection.close()


def assert_envelope(status: int, headers: dict[str, str], body: Any) -> None:
    assert 400 <= status < 500
    assert status != 422
    assert headers["x-request-id"].startswith("req_")
    assert headers["content-type"] == "application/json"
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]


def nested(depth: int, opening: str, closing: str) -> bytes:
    return b'{"model": "fast", "input": "x", "x": ' + (opening * depth + "1" + closing * depth).encode() + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b'{"model": NaN}',
        b'{"model": "fast"',
        b'{"model": "fast", "input": "x", "messages": [], "metadata": {}, "x": 1e999}',
        nested(300, "[", "]"),
        nested(100_000, "[", "]"),
        nested(900, '{"a":', "}"),
        b"[" * 200_000,
        json.dumps({"model": "fa\0st", "input": "x"}).encode(),
        json.dumps({"model": "\ud800", "input": "x"}).encode(),
    ],
    ids=range(15),
)
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions", "/v1/jobs", "/v1/batches"])
def test_bodies_that_cannot_be_used(stack: Stack, path: str, body: bytes):
    with asked(stack, "POST", path, body) as (status, headers, answer):
        assert_envelope(status, headers, answer)


def test_a_nesting_that_schemas_may_have_is_read(stack: Stack):
    with asked(stack, "POST", "/v1/responses", nested(150, "[", "]")) as (status, _, _answer):
        assert status == 200


def test_half_a_surrogate_pair_survives(client: openai.OpenAI, stack: Stack):
    text = "[half] \ud83d"
    body = json.dumps({"model": "mirror", "input": text, "metadata": {"a": text}}).encode()
    with asked(stack, "POST", "/v1/responses", body) as (status, _, answer):
        assert (status, answer["metadata"]) == (200, {"a": text})
    assert stack.mirror.told("[half]")["messages"][0]["content"] == text


def test_too_large_is_413(stack: Stack):
    with asked(stack, "POST", "/v1/responses", b" " * (65 * 1024 * 1024)) as (status, headers, answer):
        assert status == 413
        assert_envelope(status, headers, answer)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/nonsense", 404),
        ("GET", "/v1/responses/%00", 404),
        ("GET", "/v1/responses/resp_" + "F" * 32, 404),
        ("GET", "/v1/responses/resp_0190_______________________00000", 404),
        ("GET", "/v1/responses/..%2F..%2Fetc%2Fpasswd", 404),
        ("GET", "/v1/responses/..%2f", 404),
        ("GET", "/v1/files/file-%F0%9F%98%80", 404),
        ("GET", "/v1/files/%2e%2e/content", 404),
        ("GET", "/v1/files?after=%00", 400),
        ("GET", "/v1/batches/batch_%25s", 404),
        ("GET", "/v1/batches?after=batch_';--", 400),
        ("GET", "/v1/models/%00", 404),
        ("GET", "/v1/models/a%2Fb%20c", 404),
        ("GET", "/v1/jobs/job_x", 404),
        ("DELETE", "/v1/responses/" + "x" * 5000, 404),
        ("GET", "/v1/chat/completions", 405),
        ("PUT", "/v1/responses", 405),
        ("POST", "/v1/responses/resp_x", 405),
        ("DELETE", "/v1/models/fast", 405),
        ("OPTIONS", "/v1/responses", 405),
        ("GET", "/v1/files?limit=0", 400),
        ("GET", "/v1/files?limit=1_0", 400),
        ("GET", "/v1/files?limit=" + "9" * 5000, 400),
        ("GET", "/v1/batches?limit=101", 400),
        ("GET", "/v1/files?order=%00", 400),
        ("GET", "/v1/files?purpose=%00", 400),
    ],
)
def test_paths_and_ids(stack: Stack, method: str, path: str, expected: int):
    with asked(stack, method, path.replace(" ", "%20")) as (status, headers, answer):
        assert status == expected
        assert_envelope(status, headers, answer)


def test_queries_of_responses(client: openai.OpenAI, stack: Stack):
    response = client.responses.create(model="fast", input="x")
    for query in ("stream=yes", "stream=true&starting_after=1.5", "stream=true&starting_after=%D9%A3"):
        with asked(stack, "GET", f"/v1/responses/{response.id}?{query}") as (status, headers, answer):
            assert status == 400
            assert_envelope(status, headers, answer)
    include = "include%5B%5D=message.output_text.logprobs&include_obfuscation=false"
    with asked(stack, "GET", f"/v1/responses/{response.id}?{include}", accept="application/xml") as (status, _, same):
        assert (status, same) == (200, response.to_dict())


def test_a_slash_at_the_end_changes_nothing(stack: Stack):
    with asked(stack, "GET", "/v1/models/") as (status, _, answer):
        assert (status, answer["object"]) == (200, "list")
    with asked(stack, "POST", "/v1/chat/completions/", json.dumps({"model": "fast", "messages": HI}).encode()) as (
        status,
        _,
        answer,
    ):
        assert (status, answer["object"]) == (200, "chat.completion")


def test_every_answer_is_named_and_timed(client: openai.OpenAI, stack: Stack):
    """Streams, errors and plain answers alike."""
    seen = []
    for raw in (
        client.models.with_raw_response.list(),
        client.chat.completions.with_raw_response.create(model="fast", messages=HI, stream=True),  # type: ignore[call-overload]
        client.responses.with_raw_response.create(model="fast", input="x", background=True),
    ):
        seen.append(raw.headers["x-request-id"])
        assert raw.headers["openai-processing-ms"].isdigit()
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.retrieve("resp_x")
    seen.append(caught.value.request_id)
    assert len(set(seen)) == 4


def test_models_are_what_the_sdk_says(stack: Stack):
    strict = stack.client(_strict_response_validation=True)
    listed = list(strict.models.list())
    assert strict.models.retrieve(listed[0].id) == listed[0]


def test_a_tier_tells_what_is_left_and_when_to_come_back(stack: Stack):
    client = stack.client(SMALL_KEY)
    left = []
    with pytest.raises(openai.RateLimitError) as caught:  # noqa: PT012 — one of these is refused
        for _ in range(4):
            raw = client.chat.completions.with_raw_response.create(model="fast", messages=HI)  # type: ignore[arg-type]
            left.append(int(raw.headers["x-ratelimit-remaining-requests"]))
    assert left[0] == 2
    assert left == sorted(set(left), reverse=True)
    headers = caught.value.response.headers
    assert headers["x-ratelimit-limit-requests"] == "3"
    assert headers["x-ratelimit-reset-requests"][-1] == "s"
    assert 0 < float(headers["retry-after"]) <= 120
    assert 0 < int(headers["retry-after-ms"]) <= 120_000


@pytest.mark.parametrize(("order", "status"), [("429 insufficient_quota", 429), ("401", 502)])
def test_what_cannot_improve_is_not_to_be_asked_again(stack: Stack, order: str, status: int):
    body = json.dumps({"model": "fast", "messages": [{"role": "user", "content": f"[[error: {order}]]"}]}).encode()
    with asked(stack, "POST", "/v1/chat/completions", body) as (found, headers, answer):
        assert (found, headers["x-should-retry"]) == (status, "false")
        assert "sim-key" not in json.dumps(answer)


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/messages/batches", "/v1/files"])
def test_a_client_that_hangs_up_in_mid_body_is_no_fault_of_ours(stack: Stack, path: str):
    log = stack.data / "logs" / "api.log"
    faults = log.read_text().count("a fault of Penstock's own")
    with socket.create_connection((urlsplit(stack.url).hostname, urlsplit(stack.url).port)) as connection:
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 100000\r\n"
        kind, begun = "application/json", b'{"requests": ['
        if path == "/v1/files":
            kind, begun = "multipart/form-data; boundary=b", b'--b\r\ncontent-disposition: form-data; name="x"\r\n\r\nx'
        connection.sendall(f"{head}content-type: {kind}\r\n\r\n".encode() + begun)
    with asked(stack, "GET", "/v1/models") as (status, _, _):
        assert status == 200
    deadline = time.monotonic() + 60
    while path not in log.read_text().rpartition("a client hung up")[2]:
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.1)
    assert log.read_text().count("a fault of Penstock's own") == faults
