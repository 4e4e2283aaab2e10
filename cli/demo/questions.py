"""The questions of the demo: GSM8K, shipped beside this file (see gsm8k_600.NOTICE.md for source and licence)."""

import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

#: how many there are
AVAILABLE = 600

SYSTEM = "Solve the problem step by step. End with a line `#### <number>`."
#: honest about the answer's length: some providers charge it to the quota when the call begins
MAX_TOKENS = 400

_FILE = "gsm8k_600.jsonl.gz"
#: the one that is streamed: its worked answer is among the longest
_STREAMED = "gsm8k/183"
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Question:
    """One question; `gold` is the number that is its right answer."""

    id: str
    text: str
    gold: str

    def is_answered_by(self, answer: str) -> bool:
        """Whether the last number of an answer is the right one."""
        numbers = _NUMBER.findall(answer)
        return bool(numbers) and float(numbers[-1].replace(",", "")) == float(self.gold)


def load() -> list[Question]:
    """All questions, in the order of the test set."""
    lines = gzip.decompress(files(__package__).joinpath(_FILE).read_bytes()).decode().splitlines()
    return [Question(row["id"], row["question"], row["gold"]) for row in map(json.loads, lines)]


def streamed(questions: Sequence[Question]) -> str:
    """The prompt of the streamed response. Not the words of a batch row: those are counted by the provider as one."""
    text = next(question.text for question in questions if question.id == _STREAMED)
    return f"{SYSTEM}\n\nQuestion: {text}"


def spread(questions: Sequence[Question], models: Sequence[str]) -> dict[str, tuple[Question, str]]:
    """Each question's custom_id with the question and the model it goes to, the models in turn."""
    return {
        question.id.replace("/", "-"): (question, models[index % len(models)])
        for index, question in enumerate(questions)
    }


def jsonl(rows: dict[str, tuple[Question, str]]) -> bytes:
    """The batch's input file: one chat completion a line."""
    return "".join(json.dumps(_line(name, *row)) + "\n" for name, row in rows.items()).encode()


def _line(custom_id: str, question: Question, model: str) -> dict[str, Any]:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question.text}]
    body = {"model": model, "messages": messages, "max_tokens": MAX_TOKENS}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
