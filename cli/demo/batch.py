"""The batch of the demo: submitted, watched to its end, and every answer accounted for."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from openai import OpenAI

from cli.demo.questions import Question
from cli.progress import TERMINAL
from penstock.errors import PenstockError

_POLL_SECONDS = 0.25
_ERRORS_SHOWN = 5

Rows = dict[str, tuple[Question, str]]


@dataclass(slots=True)
class ModelTally:
    """What became of one model's rows. Tokens are those the answers report; `right` counts answers equal to gold."""

    succeeded: int = 0
    failed: int = 0
    right: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def rows(self) -> int:
        """All of them."""
        return self.succeeded + self.failed


@dataclass(slots=True)
class Tally:
    """What became of the batch, per model; `failures` are some of the errors."""

    models: dict[str, ModelTally] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def submit(client: OpenAI, content: bytes) -> str:
    """Upload the file and create the batch; returns its id."""
    file = client.files.create(file=("gsm8k.jsonl", content), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"demo": "gsm8k"}
    )
    return batch.id


def follow(client: OpenAI, batch_id: str, each: Callable[[dict[str, Any]], None], limit: float) -> dict[str, Any]:
    """Poll a batch until it ends, handing each state to `each`; returns the last.

    Raises:
        PenstockError: it did not complete, or not within `limit` seconds.
    """
    deadline = time.monotonic() + limit
    while True:
        batch = client.batches.retrieve(batch_id).to_dict()
        each(batch)
        status = batch["status"]
        if status == "completed":
            return batch
        if status in TERMINAL:
            raise PenstockError(f"the batch is {status}: {json.dumps(batch.get('errors'))}")
        if time.monotonic() > deadline:
            counts = batch.get("request_counts")
            raise PenstockError(f"the batch did not end within {limit:.0f} s: {status}, {json.dumps(counts)}")
        time.sleep(_POLL_SECONDS)


def collect(client: OpenAI, batch: dict[str, Any], rows: Rows) -> Tally:
    """Download output and error file, and check that each custom_id is answered exactly once.

    Raises:
        PenstockError: one is missing, answered twice or not ours, or the counts of the batch say otherwise.
    """
    answered = _lines(client, batch.get("output_file_id"))
    refused = _lines(client, batch.get("error_file_id"))
    check_once(rows, [line["custom_id"] for line in (*answered, *refused)])
    counts = batch["request_counts"]
    found = {"total": len(rows), "completed": len(answered), "failed": len(refused)}
    if counts != found:
        raise PenstockError(f"the batch counts {counts}, its files hold {found}")
    return tally(rows, answered, refused)


def check_once(expected: Iterable[str], answered: Iterable[str]) -> None:
    """Check that what is answered is what was asked, each once.

    Raises:
        PenstockError: it is not; the message names some of what is wrong.
    """
    asked, got = set(expected), Counter(answered)
    wrong = {
        "never answered": sorted(asked - got.keys()),
        "answered more than once": sorted(name for name, count in got.items() if count > 1),
        "answered but never asked": sorted(got.keys() - asked),
    }
    complaints = [f"{len(names)} {what} ({', '.join(names[:3])})" for what, names in wrong.items() if names]
    if complaints:
        raise PenstockError("custom_ids: " + "; ".join(complaints))


def tally(rows: Rows, answered: Iterable[dict[str, Any]], refused: Iterable[dict[str, Any]]) -> Tally:
    """Count per model what the lines of the two files say."""
    result = Tally({model: ModelTally() for _, model in rows.values()})
    for line in answered:
        question, model = rows[line["custom_id"]]
        body, counts = line["response"]["body"], result.models[model]
        counts.succeeded += 1
        counts.right += question.is_answered_by(body["choices"][0]["message"]["content"] or "")
        counts.input_tokens += body["usage"]["prompt_tokens"]
        counts.output_tokens += body["usage"]["completion_tokens"]
    for line in refused:
        result.models[rows[line["custom_id"]][1]].failed += 1
        if len(result.failures) < _ERRORS_SHOWN:
            error = line["error"] or line["response"]["body"].get("error")
            result.failures.append(f"{line['custom_id']}: {json.dumps(error)}")
    return result


def _lines(client: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]
