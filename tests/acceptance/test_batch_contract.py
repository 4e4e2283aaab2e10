"""The smaller print of files and batches (contract §2, §3), through the unmodified openai SDK."""

import json
import urllib.request
from typing import Any

import openai
import psycopg
import pytest
from acceptance.conftest import ADMIN_KEY, KEY, OTHER_KEY, Stack
from acceptance.test_batches import CHAT, GOOD, chat_line, jsonl, lines_of, submit, wait
from openai.types import Batch, FileDeleted, FileObject

from penstock.embedded.urls import find_running

PURPOSE_ALONE = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--'


def test_files_are_listed_both_ways_while_they_are_deleted(stack: Stack):
    """Many delete what they list: the page's last file is gone when the next page is asked for."""
    client = stack.client(OTHER_KEY)
    made = [client.files.create(file=b"x", purpose="user_data").id for _ in range(7)]
    assert [file.id for file in client.files.list(purpose="user_data", limit=2)] == made[::-1]
    assert [file.id for file in client.files.list(purpose="user_data", limit=3, order="asc")] == made
    page = client.files.list(purpose="user_data", limit=2)
    assert page.has_more
    assert page.model_extra is not None
    assert (page.model_extra["first_id"], page.model_extra["last_id"]) == (made[-1], made[-2])
    seen = []
    for file in client.files.list(purpose="user_data", limit=2):
        seen.append(file.id)
        client.files.delete(file.id)
    assert seen == made[::-1]
    assert client.files.list(purpose="user_data").data == []


def test_lists_refuse_what_cannot_be(client: openai.OpenAI, stack: Stack):
    foreign = submit(stack.client(ADMIN_KEY), GOOD)
    for values in [
        {"limit": 0}, {"limit": 10_001}, {"order": "up"}, {"purpose": "nonsense"}, {"purpose": "\0"},
        {"after": "file-1"}, {"after": "batch_" + "0" * 32}, {"after": foreign.input_file_id},
    ]:  # fmt: skip
        with pytest.raises(openai.BadRequestError) as caught:
            client.files.list(**values)  # type: ignore[arg-type]
        assert caught.value.param == next(iter(values))
    for values in [{"limit": 0}, {"limit": 101}, {"after": "nonsense"}, {"after": foreign.id}]:
        with pytest.raises(openai.BadRequestError) as caught:
            client.batches.list(**values)  # type: ignore[arg-type]
        assert caught.value.param == next(iter(values))
    assert client.files.list(purpose="batch_output", limit=10_000).object == "list"


def test_file_objects_are_whole_and_expire_when_told(stack: Stack):
    client = stack.client(_strict_response_validation=True)
    file = client.files.create(
        file=("é漢 \u2028.jsonl", GOOD), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert isinstance(file, FileObject)
    assert (file.filename, file.bytes, file.expires_at) == ("é漢 \u2028.jsonl", len(GOOD), file.created_at + 3600)
    default = client.files.create(file=GOOD, purpose="batch")
    assert default.expires_at == default.created_at + 30 * 24 * 3600
    assert client.files.create(file=GOOD, purpose="user_data").expires_at is None
    assert isinstance(client.files.delete(file.id), FileDeleted)
    for expiry in [
        {"anchor": "created_at", "seconds": 3599}, {"anchor": "created_at", "seconds": 2_592_001},
        {"anchor": "last_active_at", "seconds": 3600}, {"seconds": 3600}, {"anchor": "created_at"},
        {"anchor": "created_at", "seconds": "²"}, {"anchor": "created_at", "seconds": "9" * 5000},
    ]:  # fmt: skip
        with pytest.raises(openai.BadRequestError) as caught:
            client.files.create(file=GOOD, purpose="batch", expires_after=expiry)  # type: ignore[arg-type]
        assert caught.value.param == "expires_after"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"nonsense"),
        ("multipart/form-data; boundary=b", PURPOSE_ALONE),
        ("multipart/form-data; boundary=b", b"--b--"),
    ],
)  # fmt: skip
def test_an_upload_that_is_none_is_refused(stack: Stack, content_type: str, body: bytes):
    request = urllib.request.Request(f"{stack.url}/v1/files", data=body, method="POST")
    request.add_header("authorization", f"Bearer {KEY}")
    request.add_header("content-type", content_type)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    with caught.value as answer:
        assert (answer.code, set(json.load(answer)["error"])) == (400, {"message", "type", "param", "code"})


def test_an_empty_file_is_stored_and_its_batch_fails(client: openai.OpenAI):
    file = client.files.create(file=("empty", b""), purpose="batch")
    assert (file.bytes, client.files.content(file.id).content) == (0, b"")
    batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    errors = wait(client, batch.id).errors
    assert errors is not None
    assert [(error.code, error.line) for error in errors.data or []] == [("empty_file", None)]


def test_the_batch_object_is_whole_in_every_state(stack: Stack):
    client = stack.client(_strict_response_validation=True)
    file = client.files.create(file=GOOD, purpose="batch")
    expiry: Any = {"anchor": "created_at", "seconds": 7200}
    metadata = {"é": "漢", "k" * 64: "v" * 512}
    batch = client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata=metadata, output_expires_after=expiry
    )
    assert isinstance(batch, Batch)
    assert (batch.status, batch.errors, batch.output_file_id) == ("validating", None, None)
    assert batch.expires_at == batch.created_at + 24 * 3600
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 0, "completed": 0, "failed": 0}
    ended = wait(client, batch.id)
    assert (ended.metadata, ended.failed_at, ended.cancelling_at, ended.expired_at) == (metadata, None, None, None)
    output = client.files.retrieve(ended.output_file_id or "")
    assert (output.purpose, output.expires_at) == ("batch_output", output.created_at + 7200)
    for changed in [{"anchor": "now", "seconds": 7200}, {"seconds": 7200}, {"anchor": "created_at"}, 7200]:
        with pytest.raises(openai.BadRequestError) as caught:
            client.batches.create(
                input_file_id=file.id, endpoint=CHAT, completion_window="24h", output_expires_after=changed # type: ignore[arg-type]
            )  # fmt: skip
        assert caught.value.param == "output_expires_after"


def test_only_a_batch_file_makes_a_batch(client: openai.OpenAI):
    file = client.files.create(file=GOOD, purpose="user_data")
    with pytest.raises(openai.BadRequestError) as caught:
        client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    assert caught.value.param == "input_file_id"
    client.files.delete(file.id)
    with pytest.raises(openai.NotFoundError):
        client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")


def test_what_harnesses_put_into_bodies_is_tolerated(client: openai.OpenAI):
    """And two lines with the same body are two requests."""
    extras: dict[str, Any] = {
        "tools": [], "include": [], "store": False, "service_tier": "auto", "stream": True, "metadata": {"a": "b"},
        "user": "u", "seed": 1, "parallel_tool_calls": True,
    }  # fmt: skip
    lines = [chat_line(custom_id, "[[echo: same]]", **extras) for custom_id in ("one", "two")]
    for line in lines:
        line["body"]["messages"].insert(0, {"role": "developer", "content": "Be brief."})
    batch = wait(client, submit(client, jsonl(lines)).id)
    assert batch.error_file_id is None, lines_of(client, batch.error_file_id)
    answers = lines_of(client, batch.output_file_id)
    assert [line["custom_id"] for line in answers] == ["one", "two"]
    assert len({line["id"] for line in answers}) == 2
    assert {line["response"]["body"]["object"] for line in answers} == {"chat.completion"}


def test_a_batch_of_failures_alone_completes_with_an_error_file(client: openai.OpenAI):
    batch = wait(client, submit(client, jsonl([chat_line("a", "[[error: 400]]")])).id)
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert len(lines_of(client, batch.error_file_id)) == 1


@pytest.mark.parametrize("content", [GOOD, b"nonsense"])
def test_an_ended_batch_cannot_be_cancelled(client: openai.OpenAI, content: bytes):
    before = wait(client, submit(client, content).id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.batches.cancel(before.id)
    assert before.status in caught.value.message
    assert client.batches.retrieve(before.id) == before


def test_moments_of_a_cancelled_batch(client: openai.OpenAI, stack: Stack):
    batch = submit(client, jsonl([chat_line(str(n), "[[delay: 60000]]") for n in range(50)]))
    with pytest.raises(openai.NotFoundError):
        stack.client(OTHER_KEY).batches.cancel(batch.id)
    client.batches.cancel(batch.id)
    ended = wait(client, batch.id)
    reached = [ended.created_at, ended.in_progress_at, ended.cancelling_at, ended.cancelled_at]
    moments = [moment for moment in reached if moment is not None]
    assert moments == sorted(moments)
    assert (ended.finalizing_at, ended.completed_at, ended.failed_at, ended.expired_at) == (None,) * 4
    assert ended.request_counts is not None
    assert ended.request_counts.total == 50 == len(lines_of(client, ended.error_file_id))


def test_a_batch_whose_window_closes_keeps_what_was_answered(client: openai.OpenAI, stack: Stack):
    running = find_running(stack.data)
    if running is None:
        pytest.skip("the clock of a batch is set through the embedded database")
    lines = [chat_line(str(n), "hi" if n < 3 else "[[delay: 60000]]") for n in range(40)]
    batch = submit(client, jsonl(lines))
    while (counts := client.batches.retrieve(batch.id).request_counts) is None or counts.completed < 3:
        pass
    with psycopg.connect(running.database, autocommit=True) as connection:
        connection.execute("UPDATE batches SET expires_at = now() WHERE id = %s", [batch.id.removeprefix("batch_")])
    ended = wait(client, batch.id)
    assert (ended.status, ended.completed_at, ended.cancelled_at) == ("expired", None, None)
    assert ended.expired_at is not None
    good, bad = lines_of(client, ended.output_file_id), lines_of(client, ended.error_file_id)
    assert sorted(line["custom_id"] for line in good) == ["0", "1", "2"]
    assert {line["error"]["code"] for line in bad} == {"batch_expired"}
    assert {line["response"] for line in bad} == {None}
    assert len(bad) == 37
    file = client.files.retrieve(ended.error_file_id or "")
    assert file.bytes == len(client.files.content(file.id).content)
    with pytest.raises(openai.BadRequestError):
        client.batches.cancel(batch.id)


def test_json_that_is_nested_too_deeply_is_refused(client: openai.OpenAI, stack: Stack):
    deep = b"[" * 1010 + b"]" * 1010
    batch = wait(client, submit(client, GOOD.replace(b'"body": {', b'"body": {"x": ' + deep + b", ")).id)
    assert batch.errors is not None
    assert [(error.code, error.line) for error in batch.errors.data or []] == [("invalid_json_line", 1)]
    for path in ("/v1/batches", "/v1/responses", "/v1/chat/completions"):
        status, body = stack.call("POST", path, b'{"metadata": ' + deep + b"}")
        assert (status, body["error"]["type"]) == (400, "invalid_request_error")
