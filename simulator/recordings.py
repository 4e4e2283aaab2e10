"""Recorded answers: what real models once said, given again to whoever asks the same of the same model.

A file of JSON lines, gzipped when its name ends in `.gz`. Each has `model`, `prompt` (the text of the last message) and
`text` (the answer), and may have `input_tokens`, `output_tokens`, `token_probability` (the geometric mean over the
answer's tokens, above 0 to 1) and `finish` (`stop` or `length`).
"""

import gzip
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

_FINISHES = ("stop", "length")
_COUNTS = ("input_tokens", "output_tokens")
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Recording:
    """One answer. Counts of tokens and the probability are None where they were not recorded."""

    text: str
    finish: Literal["stop", "length"] = "stop"
    input_tokens: int | None = None
    output_tokens: int | None = None
    token_probability: float | None = None


class Recordings:
    """All recorded answers of a provider, by model and prompt."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take rows as the file holds them.

        Raises:
            ValueError: a row lacks something or is recorded twice; the message names its number and the field.
        """
        self._by_question: dict[tuple[str, str], Recording] = {}
        for number, row in enumerate(rows, 1):
            key, recording = _read(row, number)
            if self._by_question.setdefault(key, recording) != recording:
                raise ValueError(f"recorded: line {number}: the same model and prompt stand above with another answer")

    @classmethod
    def read(cls, path: Path) -> "Recordings":
        """Read a file.

        Raises:
            ValueError: it cannot be read, or a line of it is not what it should be.
        """
        try:
            data = path.read_bytes()
            lines = (gzip.decompress(data) if data.startswith(_GZIP) else data).splitlines()
        except (OSError, EOFError) as error:
            raise ValueError(f"recorded: {path} cannot be read: {error}") from None
        return cls(_object(line, number) for number, line in enumerate(lines, 1) if line.strip())

    def __len__(self) -> int:
        return len(self._by_question)

    def find(self, model: str, prompt: str) -> Recording | None:
        """What this model said to this prompt; None where that was not recorded."""
        return self._by_question.get((model, prompt))


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        row = None
    if isinstance(row, dict):
        return row
    raise ValueError(f"recorded: line {number} is not a JSON object")


def _read(row: dict[str, Any], number: int) -> tuple[tuple[str, str], Recording]:
    def wrong(field: str, what: str) -> ValueError:
        return ValueError(f"recorded: line {number}: {field} must be {what}")

    for field in ("model", "prompt", "text"):
        if not isinstance(row.get(field), str):
            raise wrong(field, "a string")
    for field in _COUNTS:
        value = row.get(field)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise wrong(field, "a whole number, 0 or more")
    probability = row.get("token_probability")
    known = isinstance(probability, int | float) and not isinstance(probability, bool)
    if probability is not None and not (known and 0 < probability <= 1):
        raise wrong("token_probability", "above 0 and at most 1")
    finish = row.get("finish", "stop")
    if finish not in _FINISHES:
        raise wrong("finish", " or ".join(_FINISHES))
    recording = Recording(row["text"], finish, row.get("input_tokens"), row.get("output_tokens"), probability)
    return (row["model"], row["prompt"]), recording


def logarithm(recording: Recording) -> float | None:
    """The natural logarithm of each token's probability, taken for equal; None where it was not recorded."""
    return None if recording.token_probability is None else math.log(recording.token_probability)
