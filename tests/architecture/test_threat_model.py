"""docs/threat-model.md names a test for every threat it says is answered, and the tests are there."""

import re
from pathlib import Path

import pytest

HEAD = "| threat | answer | test |"


@pytest.fixture(scope="module")
def rows(root: Path) -> list[list[str]]:
    lines = (root / "docs" / "threat-model.md").read_text("utf-8").splitlines()
    start = lines.index(HEAD) + 2
    end = next(at for at in range(start, len(lines)) if not lines[at].startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:end]]


def test_every_answer_is_proved_by_a_test_that_is_there(root: Path, rows: list[list[str]]) -> None:
    assert len(rows) > 15
    missing = [row for row in rows if len(row) != 3 or not re.fullmatch(r"`tests/[a-z_/]+\.py`", row[2])]
    assert missing == []
    assert [row[2] for row in rows if not (root / row[2].strip("`")).is_file()] == []


def test_its_links_lead_somewhere(root: Path) -> None:
    for page in ("threat-model.md", "keys.md"):
        text = (root / "docs" / page).read_text("utf-8")
        targets = re.findall(r"\]\(([^)#]+)", text)
        assert targets
        assert [target for target in targets if not (root / "docs" / target).exists()] == []
