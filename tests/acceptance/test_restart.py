"""What a client finds after Penstock was stopped and started again over the same data."""

from collections.abc import Iterator

import pytest
from acceptance.conftest import Stack, running
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait


@pytest.fixture
def own() -> Iterator[Stack]:
    with running({}, workers=1) as found:
        yield found


def test_streams_files_and_batches_outlive_a_restart(own: Stack):
    """A stream is the same event by event, and a batch that was half done is done, each of its lines once."""
    client = own.client()
    events = list(client.responses.create(model="fast", input="[[tokens: 9]]", background=True, stream=True))
    response_id = events[0].response.id  # type: ignore[union-attr]
    content = jsonl([chat_line(f"r-{n}", f"[[delay: 200]][[echo: {n}]]") for n in range(1200)])
    batch = submit(client, content)
    while client.batches.retrieve(batch.id).request_counts.completed == 0:  # type: ignore[union-attr]
        continue
    own.restart()
    assert list(client.responses.retrieve(response_id, stream=True)) == events
    assert client.responses.retrieve(response_id) == events[-1].response  # type: ignore[union-attr]
    assert client.files.content(batch.input_file_id).read() == content
    ended = wait(client, batch.id)
    assert (ended.status, ended.error_file_id) == ("completed", None)
    answers = [
        line["response"]["body"]["choices"][0]["message"]["content"] for line in lines_of(client, ended.output_file_id)
    ]
    assert answers == [str(n) for n in range(1200)]
