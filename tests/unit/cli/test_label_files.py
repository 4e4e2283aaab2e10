"""Files with labels for the calibration of the semantic cache."""

import gzip
from pathlib import Path

import pytest

from cli.labels import LEAST, Pairs, Questions, read_labels
from penstock.errors import ConfigError


def file(folder: Path, header: str, *rows: str) -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return path


def test_the_header_says_what_a_file_holds(tmp_path: Path) -> None:
    questions = read_labels(file(tmp_path, "id,text,intent", *[f'{n},"how, {n}",pay' for n in range(LEAST)]))
    assert isinstance(questions, Questions)
    assert (questions.texts[1], questions.intents[1]) == ("how, 1", "pay")
    pairs = read_labels(file(tmp_path, "first,second,same", *["a,b,1", "a,c,No"] * LEAST))
    assert isinstance(pairs, Pairs)
    assert (pairs.pairs[1], pairs.same[:2]) == (("a", "c"), [True, False])


def test_a_packed_file_is_read_too(tmp_path: Path) -> None:
    packed = tmp_path / "labels.csv.gz"
    packed.write_bytes(gzip.compress(file(tmp_path, "text,intent", *["a,b"] * LEAST).read_bytes()))
    assert isinstance(read_labels(packed), Questions)


@pytest.mark.parametrize(
    ("header", "row", "why"),
    [
        ("text,label", "a,b", "header"),
        ("text,intent", "a,", "row 1 lacks"),
        ("first,second,same", "a,b,maybe", "row 1: same must be 1 or 0"),
        ("first,second,same", "a,b", "row 1 lacks"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, header: str, row: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        read_labels(file(tmp_path, header, *[row] * LEAST))


def test_too_few_rows_calibrate_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fewer than"):
        read_labels(file(tmp_path, "text,intent", "a,b"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_labels(tmp_path / "none.csv")
