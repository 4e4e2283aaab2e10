"""Evaluations are joined by prompt, or else by id; labels come from files, gold answers or a judge."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.evaluations import Questions, add_batch, add_labels, gold_of, with_mean_costs
from cli.labelling import by_judge, by_rule
from penstock.errors import Conflict, InvalidRequest


class Batches:
    """A Penstock that has batches: by id, lines of (custom_id, model, prompt, answer, cost)."""

    def __init__(self, **batches: list[tuple[str, str, str, str, float | None]]) -> None:
        self.batches = batches
        self.status = "completed"
        self.uploaded: list[dict[str, Any]] = []

    def get(self, path: str) -> dict[str, Any]:
        name = path.split("/")[3]
        files = {"input_file_id": f"{name}.in", "output_file_id": f"{name}.out"}
        return {"id": name, "status": self.status, "endpoint": "/v1/chat/completions", **files}

    def post(self, _: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"id": body["input_file_id"]}

    def upload(self, file: Path) -> dict[str, Any]:
        self.uploaded = [json.loads(line) for line in file.read_text().splitlines()]
        judged = [(row["custom_id"], row["body"]["model"], "", "90", None) for row in self.uploaded]
        self.batches["judged"] = judged
        return {"id": "judged"}

    def lines(self, path: str) -> Iterator[bytes]:
        name = path.split("/")[3]
        rows = self.batches[name.split(".")[0]]
        for custom_id, model, prompt, answer, cost in rows:
            if path.endswith("/costs"):
                value: dict[str, Any] = {"custom_id": custom_id, "model": model, "cost": cost, "calls": 1}
            elif name.endswith(".in"):
                body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
                value = {"custom_id": custom_id, "body": body}
            else:
                message = {"message": {"content": answer}}
                value = {"custom_id": custom_id, "response": {"body": {"choices": [message]}}}
            yield json.dumps(value).encode() + b"\n"


def joined(**batches: list[tuple[str, str, str, str, float | None]]) -> Questions:
    questions, penstock = Questions(), Batches(**batches)
    for name in batches:
        add_batch(questions, penstock, name)  # type: ignore[arg-type]
    return questions


def test_a_batch_for_each_model_is_joined_by_prompt() -> None:
    found = joined(
        batch_a=[("1", "cheap", "six times seven", "42", 0.1), ("2", "cheap", "one and one", "3", 0.1)],
        batch_b=[("x", "strong", "one and one", "2", 0.5), ("y", "strong", "six times seven", "42", 0.5)],
    ).rows
    assert [row.answers for row in found] == [{"cheap": "42", "strong": "42"}, {"cheap": "3", "strong": "2"}]
    assert found[1].costs == {"cheap": 0.1, "strong": 0.5}


def test_prompts_that_differ_by_model_are_joined_by_id() -> None:
    found = joined(
        batch_a=[("1", "cheap", "Short: six times seven", "42", 0.1)],
        batch_b=[("1", "strong", "Think: six times seven", "42", 0.5)],
    ).rows
    assert [sorted(row.answers) for row in found] == [["cheap", "strong"]]


def test_one_batch_may_name_several_models() -> None:
    found = joined(batch_a=[("1-c", "cheap", "q", "42", 0.1), ("1-s", "strong", "q", "41", 0.5)]).rows
    assert [row.answers for row in found] == [{"cheap": "42", "strong": "41"}]


def test_the_same_id_in_another_evaluation_is_another_question() -> None:
    found = joined(
        batch_a=[("1", "cheap", "q", "42", 0.1)], batch_b=[("1", "cheap", "another question", "7", 0.1)]
    ).rows
    assert [row.answers for row in found] == [{"cheap": "42"}, {"cheap": "7"}]


def test_gold_answers_and_a_rule_make_labels(tmp_path: Path) -> None:
    questions = joined(batch_a=[("1", "cheap", "q", "It is 42.", 0.1), ("2", "cheap", "r", "It is 5.", 0.1)])
    gold = tmp_path / "gold.jsonl"
    gold.write_text('{"custom_id": "1", "gold": 42}\n\n{"custom_id": "2", "gold": "6"}\n')
    assert by_rule(questions.rows, ["cheap"], gold_of(gold), "numeric") == 2
    assert [row.right for row in questions.rows] == [{"cheap": 1.0}, {"cheap": 0.0}]
    with pytest.raises(InvalidRequest, match="none of the answers"):
        by_rule(questions.rows, ["cheap"], {"other": "1"}, "numeric")


def test_a_judge_is_asked_as_a_batch_and_told_the_gold_answer() -> None:
    penstock = Batches(batch_a=[("1", "cheap", "six times seven", "It is 42.", 0.1)])
    questions = Questions()
    add_batch(questions, penstock, "batch_a")  # type: ignore[arg-type]
    count = by_judge(
        questions.rows, ["cheap"], {"1": "42"}, "wise", penstock, lambda _: penstock.get("/v1/batches/judged")
    )  # type: ignore[arg-type]
    assert (count, questions.rows[0].right) == (1, {"cheap": 1.0})
    shown = penstock.uploaded[0]["body"]["messages"][-1]["content"]
    assert all(word in shown for word in ("six times seven", "It is 42.", "The reference answer is: 42"))


def test_a_file_of_labels_may_hold_everything(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    row = {"custom_id": "1", "prompt": "q", "right": {"a": True, "b": 0.5}, "answers": {"a": "x"}, "costs": {"a": 0.1}}
    path.write_text(json.dumps(row) + "\n")
    questions = Questions()
    assert add_labels(questions, path) == 1
    found = questions.rows[0]
    assert (found.prompt, found.right, found.answers, found.costs) == (
        "q",
        {"a": 1.0, "b": 0.5},
        {"a": "x"},
        {"a": 0.1},
    )


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "line 1: not an object"),
        ('{"right": {}}', "`custom_id`"),
        ('{"custom_id": "1", "right": {"a": 2}}', "`right`"),
        ('{"custom_id": "1", "right": [1]}', "`right`"),
        ('{"custom_id": "1", "costs": {"a": -1}}', "`costs`"),
        ('{"custom_id": "1", "answers": {"a": 1}}', "`answers`"),
        ('{"custom_id": "1", "prompt": 1}', "`prompt`"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, word: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InvalidRequest, match=r"labels\.jsonl") as refused:
        add_labels(Questions(), path)
    assert word in refused.value.message


def test_answers_of_the_cache_count_at_the_mean() -> None:
    questions = joined(
        batch_a=[("1", "cheap", "q", "1", 0.1), ("2", "cheap", "r", "1", 0.3), ("3", "cheap", "s", "1", None)]
    )
    assert with_mean_costs(questions.rows, ["cheap", "strong"]) == {"cheap": 1}
    assert questions.rows[2].costs == {"cheap": pytest.approx(0.2)}


def test_a_batch_that_runs_is_refused() -> None:
    penstock = Batches(batch_a=[])
    penstock.status = "in_progress"
    with pytest.raises(Conflict, match="in_progress"):
        add_batch(Questions(), penstock, "batch_a")  # type: ignore[arg-type]
