"""Files with labels for the calibration of the semantic cache: questions with intents, or pairs of questions."""

import csv
import gzip
import io
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import ConfigError

LEAST = 200
_QUESTIONS, _PAIRS = ("text", "intent"), ("first", "second", "same")
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class Questions:
    """Texts, and the intent of each: the same intent may get the same answer."""

    texts: list[str]
    intents: list[str]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of texts, and whether one answer serves both."""

    pairs: list[tuple[str, str]]
    same: list[bool]


def read_labels(path: Path) -> Questions | Pairs:
    """What a CSV file holds, by its header: `text,intent`, or `first,second,same`.

    Raises:
        ConfigError: the file cannot be used; the message says where.
    """
    try:
        content = path.read_bytes()
        plain = gzip.decompress(content) if path.suffix == ".gz" else content
        table = csv.DictReader(io.StringIO(plain.decode("utf-8-sig"), newline=""))
        rows = list(table)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read as CSV ({error})") from error
    fields = next((wanted for wanted in (_QUESTIONS, _PAIRS) if set(wanted) <= set(table.fieldnames or ())), None)
    if fields is None:
        raise ConfigError(f"{path}: its header must have text,intent or first,second,same")
    for number, row in enumerate(rows, 1):
        if any(not (row[name] or "").strip() for name in fields):
            raise ConfigError(f"{path}: row {number} lacks one of {', '.join(fields)}")
    if len(rows) < LEAST:
        raise ConfigError(f"{path}: holds {len(rows)} rows; fewer than {LEAST} calibrate nothing")
    if fields == _QUESTIONS:
        return Questions([row["text"] for row in rows], [row["intent"] for row in rows])
    return Pairs(
        [(row["first"], row["second"]) for row in rows], [_truth(path, n, row["same"]) for n, row in enumerate(rows, 1)]
    )


def _truth(path: Path, number: int, word: str) -> bool:
    found = _TRUTH.get(word.strip().lower())
    if found is None:
        raise ConfigError(f"{path}: row {number}: same must be 1 or 0, not '{word[:20]}'")
    return found
