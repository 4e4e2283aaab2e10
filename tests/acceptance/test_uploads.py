"""Files in parts: `client.uploads` of the vendor's SDK, unmodified."""

import hashlib
from collections.abc import Callable
from typing import Any

import openai
import pytest
from acceptance.conftest import OTHER_KEY, Stack
from acceptance.test_batches import chat_line, jsonl, lines_of, wait

LINES = jsonl([chat_line(f"part-{n}", f"[[echo: {n}]]", "fast") for n in range(40)])
KIND: Any = {"purpose": "batch", "mime_type": "text/jsonl"}


def test_a_file_in_parts_is_a_file(client: openai.OpenAI):
    """The SDK cuts where it likes: in the middle of a line, too."""
    upload = client.uploads.upload_file_chunked(
        file=LINES, filename="x.jsonl", bytes=len(LINES), part_size=999, md5=hashlib.md5(LINES).hexdigest(), **KIND
    )
    assert (upload.status, upload.bytes) == ("completed", len(LINES))
    assert upload.file is not None
    assert (upload.file.bytes, upload.file.filename) == (len(LINES), "x.jsonl")
    assert upload.file.expires_at is not None
    assert client.files.content(upload.file.id).content == LINES
    batch = client.batches.create(
        input_file_id=upload.file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    ended = wait(client, batch.id)
    assert [line["custom_id"] for line in lines_of(client, ended.output_file_id)] == [f"part-{n}" for n in range(40)]


def test_parts_are_ordered_by_whoever_completes_and_the_rest_is_left_out(client: openai.OpenAI):
    upload = client.uploads.create(bytes=6, filename="x", **KIND)
    last, first, other = [client.uploads.parts.create(upload.id, data=data).id for data in (b"def", b"abc", b"")]
    assert client.uploads.complete(upload.id, part_ids=[first, last]).file is not None
    done = client.uploads.create(bytes=3, filename="y", **KIND)
    part = client.uploads.parts.create(done.id, data=b"xyz").id
    file = client.uploads.complete(done.id, part_ids=[part]).file
    assert file is not None
    assert client.files.content(file.id).content == b"xyz"
    with pytest.raises(openai.BadRequestError, match="completed"):
        client.uploads.parts.create(upload.id, data=b"g")
    with pytest.raises(openai.BadRequestError, match="completed"):
        client.uploads.complete(upload.id, part_ids=[other])


def test_a_cancelled_upload_takes_nothing(client: openai.OpenAI):
    upload = client.uploads.create(bytes=3, filename="x", **KIND)
    part = client.uploads.parts.create(upload.id, data=b"abc").id
    assert client.uploads.cancel(upload.id).status == "cancelled"
    for refused in (
        lambda: client.uploads.parts.create(upload.id, data=b"d"),
        lambda: client.uploads.complete(upload.id, part_ids=[part]),
        lambda: client.uploads.cancel(upload.id),
    ):
        with pytest.raises(openai.BadRequestError, match="cancelled"):
            refused()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"part_ids": []}, "0 bytes"),
        ({"part_ids": ["part_" + "0" * 32]}, "part_ids"),
        ({"part_ids": ["nonsense"]}, "part"),
        ({"md5": "0" * 32}, "checksum"),
    ],
)
def test_what_was_announced_must_have_come(client: openai.OpenAI, change: dict[str, Any], said: str):
    upload = client.uploads.create(bytes=3, filename="x", **KIND)
    part = client.uploads.parts.create(upload.id, data=b"abc").id
    with pytest.raises(openai.BadRequestError, match=said):
        client.uploads.complete(upload.id, **{"part_ids": [part], **change})
    file = client.uploads.complete(upload.id, part_ids=[part]).file
    assert file is not None, "a refusal changes nothing"
    assert client.files.content(file.id).content == b"abc"


def test_more_than_was_announced_is_refused(client: openai.OpenAI):
    upload = client.uploads.create(bytes=3, filename="x", **KIND)
    client.uploads.parts.create(upload.id, data=b"ab")
    with pytest.raises(openai.BadRequestError, match="announced"):
        client.uploads.parts.create(upload.id, data=b"cd")
    with pytest.raises(openai.APIStatusError) as too_large:
        client.uploads.create(bytes=2**40, filename="x", **KIND)
    assert too_large.value.status_code == 413


def test_another_tenant_knows_nothing_of_it(client: openai.OpenAI, stack: Stack):
    upload = client.uploads.create(bytes=3, filename="x", **KIND)
    part = client.uploads.parts.create(upload.id, data=b"abc").id
    stranger = stack.client(OTHER_KEY)
    theirs = stranger.uploads.create(bytes=3, filename="x", **KIND)
    calls: list[Callable[[], object]] = [
        lambda: stranger.uploads.parts.create(upload.id, data=b"x"),
        lambda: stranger.uploads.complete(upload.id, part_ids=[part]),
        lambda: stranger.uploads.cancel(upload.id),
    ]
    for call in calls:
        with pytest.raises(openai.NotFoundError):
            call()
    with pytest.raises(openai.BadRequestError, match="part_ids"):
        stranger.uploads.complete(theirs.id, part_ids=[part])
