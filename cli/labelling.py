"""Turns answers into labels: by gold answers and a rule of comparison, or by a judge that is asked through Penstock."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from penstock.configuration.routes import JudgeConfig
from penstock.errors import Conflict, InvalidRequest
from penstock.routing.equivalence import RULES, equivalent
from penstock.routing.grading import judge_request, read_grade

if TYPE_CHECKING:
    from cli.client import PenstockClient
    from penstock.routing.evaluated import Evaluated

#: the grader that is a model; all others are rules of comparison
JUDGE = "judge"
GRADERS = (*RULES, JUDGE)
_ENDPOINT = "/v1/chat/completions"
#: a judge's grade from here on is right
_RIGHT = 0.5


def by_rule(rows: "Sequence[Evaluated]", models: Sequence[str], gold: Mapping[str, str], rule: str) -> int:
    """Label the answers of `models` that have a gold answer; returns how many."""
    count = 0
    for row, model, right in _gold(rows, models, gold):
        row.right[model] = float(equivalent(RULES[rule], right, row.answers[model]))
        count += 1
    return count


def by_judge(
    rows: "Sequence[Evaluated]",
    models: Sequence[str],
    gold: Mapping[str, str],
    judge: str,
    penstock: "PenstockClient",
    wait: Callable[[str], dict[str, Any]],
) -> int:
    """Label the answers of `models` by what `judge` says of them, in one batch; returns how many.

    It is told the gold answer where there is one. `wait` takes the batch's id and returns the batch when it has ended.

    Raises:
        Conflict: the batch did not complete.
        PenstockError: it could not be made or read.
    """
    config = JudgeConfig(model=judge)
    places = [(row, model) for row in rows for model in models if model in row.answers and row.prompt is not None]
    if not places:
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "judged.jsonl"
        with file.open("w", encoding="utf-8") as lines:
            for number, (row, model) in enumerate(places):
                lines.write(json.dumps(_line(number, row, model, gold.get(row.custom_id), config)) + "\n")
        uploaded = penstock.upload(file)
    body = {"input_file_id": uploaded["id"], "endpoint": _ENDPOINT, "completion_window": "24h"}
    batch = wait(penstock.post("/v1/batches", body)["id"])
    if batch["status"] != "completed" or not batch["output_file_id"]:
        raise Conflict(f"the batch {batch['id']} that asks {judge} is {batch['status']}")
    count = 0
    for line in map(json.loads, penstock.lines(f"/v1/files/{quote(batch['output_file_id'], safe='')}/content")):
        grade = read_grade(line["response"]["body"]["choices"][0]["message"]["content"] or "")
        if grade is not None:
            row, model = places[int(line["custom_id"])]
            row.right[model] = float(grade >= _RIGHT)
            count += 1
    return count


def _gold(
    rows: "Sequence[Evaluated]", models: Sequence[str], gold: Mapping[str, str]
) -> "list[tuple[Evaluated, str, str]]":
    found = [
        (row, model, gold[row.custom_id])
        for row in rows
        for model in models
        if model in row.answers and row.custom_id in gold
    ]
    if not found:
        raise InvalidRequest("none of the answers has a gold answer of its `custom_id`")
    return found


def _line(number: int, row: "Evaluated", model: str, right: str | None, config: JudgeConfig) -> dict[str, Any]:
    question = row.prompt or ""
    if right is not None:
        question += f"\n(The reference answer is: {right})"
    request = judge_request(config, question, row.answers[model])
    messages = [{"role": message.role, "content": message.text} for message in request.messages]
    body = {"model": config.model, "messages": messages, "max_tokens": request.max_tokens}
    return {"custom_id": str(number), "method": "POST", "url": _ENDPOINT, "body": body}
