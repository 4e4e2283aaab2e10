"""The questions of the demo, and the accounting of their answers."""

import json
from typing import Any

import pytest

from cli.demo.batch import check_once, collect, tally
from cli.demo.questions import AVAILABLE, MAX_TOKENS, Question, jsonl, load, spread, streamed
from penstock.errors import PenstockError


def answer(custom_id: str, text: str, tokens: tuple[int, int] = (10, 5)) -> dict[str, Any]:
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    body = {"choices": [{"message": {"content": text}}], "usage": usage}
    return {"custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": None}


def refusal(custom_id: str) -> dict[str, Any]:
    body = {"error": {"message": "no"}}
    return {"custom_id": custom_id, "response": {"status_code": 400, "body": body}, "error": None}


ROWS = {
    "a": (Question("a", "1 + 1?", "2"), "one"),
    "b": (Question("b", "2 + 2?", "4"), "two"),
    "c": (Question("c", "3 + 3?", "6"), "one"),
}


class Files:
    """The part of the SDK that `collect` uses: `client.files.content(id).text`."""

    def __init__(self, **contents: list[dict[str, Any]]) -> None:
        self._contents = contents
        self.files = self

    def content(self, file_id: str) -> Any:
        text = "".join(json.dumps(line) + "\n" for line in self._contents[file_id])
        return type("Content", (), {"text": text})


def test_the_shipped_questions_are_whole() -> None:
    questions = load()
    assert len(questions) == AVAILABLE == len({question.id for question in questions})
    assert all(question.text.strip() and float(question.gold) == float(question.gold) for question in questions)


def test_the_file_has_one_good_line_a_question_and_half_to_each_model() -> None:
    rows = spread(load(), ["one", "two"])
    lines = [json.loads(line) for line in jsonl(rows).splitlines()]
    assert len({line["custom_id"] for line in lines}) == AVAILABLE
    assert [line["body"]["model"] for line in lines].count("one") == AVAILABLE / 2
    assert {(line["method"], line["url"], line["body"]["max_tokens"]) for line in lines} == {
        ("POST", "/v1/chat/completions", MAX_TOKENS)
    }


def test_the_streamed_prompt_is_no_row_of_the_batch() -> None:
    questions = load()
    assert streamed(questions) not in {question.text for question in questions}


@pytest.mark.parametrize(
    ("text", "right"),
    [("so\n#### 1,234", True), ("#### 1234.0", True), ("1234 and then 5", False), ("no number", False), ("", False)],
)
def test_the_last_number_is_the_answer(text: str, right: bool) -> None:
    assert Question("q", "?", "1234").is_answered_by(text) is right


def test_answered_once_is_good() -> None:
    check_once(["a", "b"], ["b", "a"])


@pytest.mark.parametrize(
    ("answered", "complaint"),
    [(["a"], "never answered (b)"), (["a", "b", "b"], "more than once (b)"), (["a", "b", "x"], "never asked (x)")],
)
def test_answered_otherwise_is_named(answered: list[str], complaint: str) -> None:
    with pytest.raises(PenstockError) as raised:
        check_once(["a", "b"], answered)
    assert complaint in raised.value.message


def test_rows_are_counted_by_model() -> None:
    found = tally(ROWS, [answer("a", "#### 2", (10, 5)), answer("b", "#### 5", (7, 3))], [refusal("c")])
    one, two = found.models["one"], found.models["two"]
    assert (one.succeeded, one.failed, one.right, one.input_tokens, one.output_tokens) == (1, 1, 1, 10, 5)
    assert (two.succeeded, two.failed, two.right, two.input_tokens, two.output_tokens) == (1, 0, 0, 7, 3)
    assert found.failures == ['c: {"message": "no"}']


def test_both_files_are_read() -> None:
    client: Any = Files(out=[answer("a", ""), answer("b", "")], err=[refusal("c")])
    batch = {"output_file_id": "out", "error_file_id": "err"}
    counts = {"total": 3, "completed": 2, "failed": 1}
    assert collect(client, batch | {"request_counts": counts}, ROWS).models["one"].rows == 2
    with pytest.raises(PenstockError, match="files hold"):
        collect(client, batch | {"request_counts": counts | {"completed": 3, "failed": 0}}, ROWS)
