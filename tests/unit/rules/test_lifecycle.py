"""The table of moves is code; the page shows the same."""

import re
from pathlib import Path

from penstock.rules.lifecycle import TERMINAL, TRANSITIONS, may_move

PAGE = (Path(__file__).parents[3] / "docs" / "job-lifecycle.md").read_text("utf-8")


def test_the_page_lists_every_move_with_its_cause():
    rows = re.findall(r"^\| (\w+) → (\w+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert {(before, after): cause for before, after, cause in rows} == TRANSITIONS


def test_the_diagram_draws_every_move():
    assert set(re.findall(r"^    (\w+) --> (\w+)$", PAGE, re.MULTILINE)) == set(TRANSITIONS)


def test_nothing_leaves_a_terminal_state():
    assert {before for before, _ in TRANSITIONS}.isdisjoint(TERMINAL)
    assert not may_move("succeeded", "failed")


def test_every_state_is_reached():
    assert {after for _, after in TRANSITIONS} == {"pending", "queued", "running", *TERMINAL}
