"""Recorded answers: read from a file that may be wrong, and given again as they were."""

import gzip
import math
from pathlib import Path
from typing import Any

import orjson
import pytest

from simulator.answers import answer_choices, logprob, tells_logprobs
from simulator.question import Question
from simulator.recordings import Recording, Recordings

ROW = {"model": "m", "prompt": "What is 1 + 1?", "text": "Two."}


def asked(recorded: Recording) -> Question:
    return Question(model="m", fingerprint="f", input_tokens=3, body={}, last=ROW["prompt"], recorded=recorded)


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.jsonl.gz"])
def test_a_file_gives_what_was_said_by_model_and_prompt(tmp_path: Path, name: str) -> None:
    lines = orjson.dumps(ROW) + b"\n\n" + orjson.dumps(ROW | {"model": "n", "output_tokens": 7, "finish": "length"})
    path = tmp_path / name
    path.write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
    found = Recordings.read(path)
    assert len(found) == 2
    assert found.find("m", ROW["prompt"]) == Recording("Two.")
    assert found.find("n", ROW["prompt"]) == Recording("Two.", "length", output_tokens=7)
    assert found.find("m", "What is 1 + 2?") is None


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model": None}, "line 2: model must be a string"),
        ({"text": 2}, "line 2: text must be a string"),
        ({"input_tokens": -1}, "line 2: input_tokens must be a whole number"),
        ({"output_tokens": True}, "line 2: output_tokens must be a whole number"),
        ({"token_probability": 0}, "line 2: token_probability must be above 0"),
        ({"finish": "done"}, "line 2: finish must be stop or length"),
        ({"model": "m", "text": "Three."}, "line 2: the same model and prompt"),
    ],
)
def test_a_line_that_is_wrong_is_named(change: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Recordings([ROW, ROW | {"model": "n"} | change])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"recorded: .*gone\.jsonl cannot be read"):
        Recordings.read(tmp_path / "gone.jsonl")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(orjson.dumps(ROW))[:-9])
    with pytest.raises(ValueError, match="cannot be read"):
        Recordings.read(tmp_path / "cut.gz")
    (tmp_path / "list.jsonl").write_bytes(b"[1]")
    with pytest.raises(ValueError, match="line 1 is not a JSON object"):
        Recordings.read(tmp_path / "list.jsonl")


def test_the_answer_is_the_recorded_one_with_its_tokens_and_probability() -> None:
    question = asked(Recording("Two, I think.", output_tokens=30, token_probability=0.5))
    (answer,) = answer_choices(question, 40, 0)
    assert (answer.text, answer.tokens, answer.finish) == ("Two, I think.", 30, "stop")
    assert logprob(question, "Two,") == logprob(question, " I t") == pytest.approx(math.log(0.5))
    assert tells_logprobs(question)


def test_what_was_not_recorded_is_not_made_up() -> None:
    question = asked(Recording("Two."))
    assert answer_choices(question, 40, 0)[0].tokens == 1
    assert not tells_logprobs(question)
