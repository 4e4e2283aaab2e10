"""Evaluated work for calibration: batches that ran through Penstock, files of labels, and gold answers, joined.

Answers belong to one question where their prompts are the same, or else their `custom_id`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from penstock.completion import CompletionRequest
from penstock.dialects import registry
from penstock.errors import Conflict, InvalidRequest, PenstockError
from penstock.routing.confidence import token_probability
from penstock.routing.evaluated import Evaluated
from penstock.routing.exchanges import prompt_of

if TYPE_CHECKING:
    from cli.client import PenstockClient

#: endpoints of batches whose answers can be read here
_ENDPOINTS = ("/v1/chat/completions", "/v1/responses")


@dataclass(slots=True)
class Questions:
    """Questions by their prompt, and by the ids under which they were asked."""

    rows: list[Evaluated] = field(default_factory=list)
    _by_prompt: dict[str, Evaluated] = field(default_factory=dict)
    _by_id: dict[str, list[Evaluated]] = field(default_factory=dict)

    def add(self, custom_id: str, prompt: str | None, model: str | None = None) -> Evaluated:
        """The question of this prompt, or else of this id to which `model` has not answered yet; or a new one."""
        found = self._by_prompt.get(prompt) if prompt is not None else None
        if found is None:
            same_id = self._by_id.get(custom_id, [])
            found = next((one for one in same_id if model is None or model not in one.answers), None)
        if found is None:
            found = Evaluated(custom_id, prompt)
            self.rows.append(found)
        if prompt is not None:
            found.prompt = found.prompt or prompt
            self._by_prompt.setdefault(prompt, found)
        named = self._by_id.setdefault(custom_id, [])
        if found not in named:
            named.append(found)
        return found

    def named(self, custom_id: str) -> list[Evaluated]:
        """The questions that were asked under an id."""
        return self._by_id.get(custom_id, [])


def add_batch(questions: Questions, penstock: "PenstockClient", batch_id: str) -> int:
    """Take in the answers and costs of a batch; returns how many answers it has.

    Raises:
        Conflict: it has not ended.
        InvalidRequest: its answers cannot be read here, or nothing is known of their cost.
        PenstockError: why it could not be fetched.
    """
    path = f"/v1/batches/{quote(batch_id, safe='')}"
    batch = penstock.get(path)
    if batch["status"] not in {"completed", "expired", "cancelled"}:
        raise Conflict(f"{batch_id} is {batch['status']}: it can be learnt from when it has ended")
    if batch["endpoint"] not in _ENDPOINTS:
        raise InvalidRequest(f"{batch_id} is for {batch['endpoint']}: only {' and '.join(_ENDPOINTS)} can be read")
    if not batch["output_file_id"]:
        raise InvalidRequest(f"{batch_id} has no answers")
    asked = {line["custom_id"]: line["body"] for line in _lines(penstock, batch["input_file_id"])}
    costs = {row["custom_id"]: row["cost"] for row in map(json.loads, penstock.lines(f"{path}/costs"))}
    count = 0
    for line in _lines(penstock, batch["output_file_id"]):
        name = line["custom_id"]
        model = asked[name]["model"]
        question = questions.add(name, _prompt(batch["endpoint"], asked[name]), model)
        text, probability = _answer(line["response"]["body"])
        question.answers[model] = text
        if probability is not None:
            question.probabilities[model] = probability
        if costs.get(name) is not None:
            question.costs[model] = costs[name]
        count += 1
    return count


def add_labels(questions: Questions, path: Path) -> int:
    """Take in a file of labels; returns how many lines it has.

    Each line is an object with a `custom_id` and `right`, by model, from 0 (false) to 1 (true). It may have `prompt`,
    and `answers` and `costs` by model (US dollars), where no batch has them.

    Raises:
        InvalidRequest: it cannot be read; the message names line and field.
    """
    count = 0
    for number, row in _rows(path):
        at = f"{path}, line {number}"
        name = _text(row, "custom_id", at)
        prompt = row.get("prompt")
        if prompt is not None and not isinstance(prompt, str):
            raise InvalidRequest(f"{at}: `prompt` is a string")
        found = [questions.add(name, prompt)] if prompt is not None or not questions.named(name) else []
        for question in found or questions.named(name):
            question.right |= _numbers(row, "right", at, most=1.0)
            question.costs |= _numbers(row, "costs", at, most=float("inf"))
            answers = row.get("answers") or {}
            if not isinstance(answers, dict) or not all(isinstance(text, str) for text in answers.values()):
                raise InvalidRequest(f"{at}: `answers` is an object of texts by model")
            question.answers |= answers
        count += 1
    return count


def gold_of(path: Path) -> dict[str, str]:
    """The right answer of each question, by its `custom_id`, from lines with `custom_id` and `gold`.

    Raises:
        InvalidRequest: it cannot be read; the message names line and field.
    """
    found = {}
    for number, row in _rows(path):
        at = f"{path}, line {number}"
        gold = row.get("gold")
        if isinstance(gold, bool) or not isinstance(gold, str | int | float):
            raise InvalidRequest(f"{at}: `gold` is a text or a number")
        found[_text(row, "custom_id", at)] = str(gold)
    return found


def with_mean_costs(rows: Iterable[Evaluated], models: Iterable[str]) -> dict[str, int]:
    """Give answers without a recorded cost (such as those of the cache) the mean of their model's others.

    Returns:
        How many there were, by model.
    """
    rows, filled = list(rows), {}
    for model in models:
        known = [row.costs[model] for row in rows if model in row.costs]
        lacking = [row for row in rows if model in row.answers and model not in row.costs]
        if known and lacking:
            filled[model] = len(lacking)
            for row in lacking:
                row.costs[model] = sum(known) / len(known)
    return filled


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InvalidRequest(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise InvalidRequest(f"{path}, line {number}: not an object")
        yield number, row


def _text(row: Mapping[str, Any], name: str, at: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{at}: `{name}` is a text")
    return value


def _numbers(row: Mapping[str, Any], name: str, at: str, *, most: float) -> dict[str, float]:
    value = row.get(name) or {}
    good = isinstance(value, dict) and all(isinstance(n, bool | int | float) and 0 <= n <= most for n in value.values())
    if not good:
        words = "of numbers from 0 to 1, or true and false," if most == 1.0 else "of US dollars"
        raise InvalidRequest(f"{at}: `{name}` is an object {words} by model")
    return {model: float(number) for model, number in value.items()}


def _lines(penstock: "PenstockClient", file_id: str) -> Iterator[dict[str, Any]]:
    yield from map(json.loads, penstock.lines(f"/v1/files/{quote(file_id, safe='')}/content"))


def _prompt(endpoint: str, body: dict[str, Any]) -> str | None:
    try:
        request = registry.for_endpoint(endpoint).parse(body)
    except PenstockError:
        return None  # it was answered all the same: the service knew more of it, such as what it continues
    return prompt_of(request) if isinstance(request, CompletionRequest) else None


def _answer(body: dict[str, Any]) -> tuple[str, float | None]:
    """The text of an answer in either of OpenAI's forms, and its tokens' probability where that is told."""
    if "choices" in body:
        choice = body["choices"][0]
        tokens = (choice.get("logprobs") or {}).get("content") or []
        return choice["message"]["content"] or "", token_probability([token["logprob"] for token in tokens])
    parts = [part for item in body.get("output", []) for part in item.get("content") or []]
    texts = [part for part in parts if part.get("type") == "output_text"]
    tokens = [token for part in texts for token in part.get("logprobs") or []]
    return "".join(part["text"] for part in texts), token_probability([token["logprob"] for token in tokens])
