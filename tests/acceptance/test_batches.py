"""Batches through the unmodified openai SDK."""

import json
import time
from typing import Any

import openai
import pytest
from acceptance.conftest import OTHER_KEY, Stack
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

CHAT = "/v1/chat/completions"


def chat_line(custom_id: str, text: str, model: str = "fast", **body: Any) -> dict[str, Any]:
    message = {"role": "user", "content": text}
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": CHAT,
        "body": {"model": model, "messages": [message]} | body,
    }


def jsonl(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def submit(client: openai.OpenAI, content: bytes, endpoint: str = CHAT) -> openai.types.Batch:
    file = client.files.create(file=content, purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")


def wait(client: openai.OpenAI, batch_id: str, seconds: float = 120) -> openai.types.Batch:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        batch = client.batches.retrieve(batch_id)
        if batch.status in ("completed", "failed", "expired", "cancelled"):
            return batch
        time.sleep(0.1)
    raise AssertionError(f"the batch did not end: {batch}")


def lines_of(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()] if file_id else []


def test_every_line_is_answered_once_in_input_order_over_two_providers(client: openai.OpenAI, stack: Stack):
    lines = [
        chat_line(f"q-{n}", f"[[echo: answer {n} é 漢字 \u2028 🙂]]", "fast" if n % 2 else "claude") for n in range(120)
    ]
    batch = wait(client, submit(client, jsonl(lines)).id)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (120, 120, 0)
    content = client.files.content(batch.output_file_id or "").content
    assert content.isascii()
    assert client.files.retrieve(batch.output_file_id or "").bytes == len(content)
    answers = [json.loads(line) for line in content.split(b"\n")[:-1]]
    assert [answer["custom_id"] for answer in answers] == [f"q-{n}" for n in range(120)]
    for n, answer in enumerate(answers):
        completion = ChatCompletion.model_validate(answer["response"]["body"])
        assert completion.choices[0].message.content == f"answer {n} é 漢字 \u2028 🙂"
    assert batch.usage is not None
    assert batch.usage.total_tokens > 0
    assert batch.model_extra is not None
    assert batch.model_extra["cost"] > 0
    order = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at]
    assert order == sorted(moment or 0 for moment in order)


def test_responses_lines(client: openai.OpenAI):
    lines = [
        {
            "custom_id": str(n),
            "method": "POST",
            "url": "/v1/responses",
            "body": {"model": "claude", "input": f"[[echo: r{n}]]"},
        }
        for n in range(10)
    ]
    batch = wait(client, submit(client, jsonl(lines), "/v1/responses").id)
    answers = lines_of(client, batch.output_file_id)
    assert [Response.model_validate(a["response"]["body"]).output_text for a in answers] == [f"r{n}" for n in range(10)]


def test_a_line_that_fails_fails_alone(client: openai.OpenAI):
    lines = [
        chat_line("good", "[[echo: fine]]"),
        chat_line("refused", "[[error: 400]]"),
        chat_line("bad-body", "x", temperature="hot"),
        chat_line("too-long", "word " * 20_000),
    ]
    batch = wait(client, submit(client, jsonl(lines)).id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 3)
    assert [line["custom_id"] for line in lines_of(client, batch.output_file_id)] == ["good"]
    errors = {line["custom_id"]: line for line in lines_of(client, batch.error_file_id)}
    assert set(errors) == {"refused", "bad-body", "too-long"}
    for line in errors.values():
        assert line["error"] is None
        assert line["response"]["status_code"] == 400
        assert line["response"]["body"]["error"]["message"]
    assert errors["bad-body"]["response"]["body"]["error"]["param"] == "temperature"
    assert errors["too-long"]["response"]["body"]["error"]["code"] == "context_length_exceeded"
    file = client.files.retrieve(batch.error_file_id or "")
    assert file.bytes == len(client.files.content(batch.error_file_id or "").content)


def test_transient_failures_are_tried_again(client: openai.OpenAI):
    batch = wait(client, submit(client, jsonl([chat_line("a", "[[fail: 2]] stubborn")])).id)
    assert (batch.status, batch.error_file_id) == ("completed", None)


GOOD = json.dumps(chat_line("a", "hi")).encode()


@pytest.mark.parametrize(
    ("content", "line", "code"),
    [
        (b"", None, "empty_file"),
        (b"\n\n", None, "empty_file"),
        (b"question,answer\n1,2\n", 1, "invalid_json_line"),
        (b"\xff\xfe" + "{}".encode("utf-16-le"), 1, "invalid_json_line"),
        (b"[1]\n", 1, "invalid_json_line"),
        (GOOD + b"\n" + GOOD, 2, "duplicate_custom_id"),
        (GOOD.replace(b'"fast"', b'"nope"'), 1, "model_not_found"),
        (GOOD.replace(b"/v1/chat/completions", b"/v1/responses"), 1, "mismatched_url"),
        (GOOD.replace(b'"POST"', b'"GET"'), 1, "invalid_method"),
        (GOOD.replace(b'"body"', b'"bdy"'), 1, "missing_required_parameter"),
    ],
)
def test_a_wrong_file_fails_the_batch_and_names_the_line(client: openai.OpenAI, content: bytes, line: int, code: str):
    if not content:
        content = b" "
    batch = wait(client, submit(client, content).id)
    assert batch.status == "failed"
    assert batch.errors is not None
    assert batch.errors.data
    assert (batch.errors.data[0].line, batch.errors.data[0].code) == (line, code)
    assert batch.output_file_id is None


def test_broken_line_317_is_named(client: openai.OpenAI):
    rows = [json.dumps(chat_line(str(n), "hi")).encode() for n in range(400)]
    rows[316] = rows[316][:-5]
    batch = wait(client, submit(client, b"\n".join(rows)).id)
    assert batch.errors is not None
    assert [(error.line, error.code) for error in batch.errors.data or []] == [(317, "invalid_json_line")]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(client: openai.OpenAI):
    batch = wait(
        client, submit(client, b"\xef\xbb\xbf" + GOOD + b"\r\n" + GOOD.replace(b'"a"', b'"b"') + b"\r\n\r\n").id
    )
    assert (batch.status, batch.request_counts and batch.request_counts.completed) == ("completed", 2)


def test_cancel_keeps_what_was_answered(client: openai.OpenAI):
    lines = [chat_line(f"q-{n}", f"[[delay: {0 if n < 5 else 60000}]] {n}") for n in range(600)]
    batch = submit(client, jsonl(lines))
    deadline = time.monotonic() + 60
    while client.batches.retrieve(batch.id).request_counts.completed < 5:  # type: ignore[union-attr]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    ended = wait(client, batch.id)
    assert ended.status == "cancelled"
    good, bad = lines_of(client, ended.output_file_id), lines_of(client, ended.error_file_id)
    assert len(good) == 5
    assert {line["error"]["code"] for line in bad} == {"batch_cancelled"}
    assert sorted(line["custom_id"] for line in good + bad) == sorted(line["custom_id"] for line in lines)
    file = client.files.retrieve(ended.error_file_id or "")
    assert file.bytes == len(client.files.content(ended.error_file_id or "").content)
    assert client.batches.cancel(batch.id).status == "cancelled"


def test_create_refuses_what_cannot_be(client: openai.OpenAI, stack: Stack):
    file = client.files.create(file=GOOD, purpose="batch")
    good: dict[str, Any] = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    for change, param in [
        ({"endpoint": "/v1/nonsense"}, "endpoint"),
        ({"completion_window": "5 minutes"}, "completion_window"),
        ({"metadata": {"k": 1}}, "metadata"),
    ]:
        with pytest.raises(openai.BadRequestError) as caught:
            client.batches.create(**(good | change))  # type: ignore[arg-type]
        assert caught.value.param == param
    with pytest.raises(openai.NotFoundError):
        client.batches.create(**(good | {"input_file_id": "file-" + "0" * 32}))
    with pytest.raises(openai.NotFoundError):
        stack.client(OTHER_KEY).batches.create(**good)
    status, body = stack.call("POST", "/v1/batches", {"input_file_id": file.id})
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, "endpoint", "missing_required_parameter")


def test_lists_page_without_repeating_or_skipping(client: openai.OpenAI, stack: Stack):
    other = stack.client(OTHER_KEY)
    made = [submit(other, GOOD).id for _ in range(5)]
    assert [batch.id for batch in other.batches.list(limit=2)] == made[::-1]
    assert made[0] not in [batch.id for batch in client.batches.list()]
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve(made[0])


def test_files(client: openai.OpenAI, stack: Stack):
    content = bytes(range(256)) * 20_000
    file = client.files.create(file=("data.bin", content), purpose="user_data")
    assert (file.bytes, file.filename, file.purpose, file.status) == (
        len(content),
        "data.bin",
        "user_data",
        "processed",
    )
    assert client.files.content(file.id).content == content
    assert file.id in [row.id for row in client.files.list(purpose="user_data")]
    with pytest.raises(openai.NotFoundError):
        stack.client(OTHER_KEY).files.retrieve(file.id)
    assert client.files.delete(file.id).deleted
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            call(file.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.create(file=b"x", purpose="nonsense")  # type: ignore[arg-type]
    assert caught.value.param == "purpose"


def test_deleting_the_input_does_not_disturb_the_batch(client: openai.OpenAI):
    batch = submit(client, jsonl([chat_line(str(n), "hi") for n in range(20)]))
    client.files.delete(batch.input_file_id)
    assert wait(client, batch.id).status == "completed"


def test_the_webhook_of_completion_verifies(client: openai.OpenAI, stack: Stack):
    from acceptance.conftest import SECRET

    batch = wait(client, submit(client, GOOD).id)
    headers, body = stack.webhooks.wait_for(batch.id)
    event = stack.client(webhook_secret=SECRET).webhooks.unwrap(body, headers)
    assert (event.type, event.data.id) == ("batch.completed", batch.id)
