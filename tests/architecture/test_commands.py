"""The README is where a command is looked up: it names every one, and the Makefile explains each of its own."""

import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer


def _targets(root: Path) -> dict[str, str]:
    makefile = (root / "Makefile").read_text("utf-8")
    return dict(re.findall(r"^([a-z][a-z-]*):[^=\n]*?(?:## (.*))?$", makefile, re.MULTILINE))


def test_every_make_target_explains_itself(root: Path) -> None:
    targets = _targets(root)
    assert {"demo", "test", "test-external", "bench", "lint", "lock", "clean"} <= set(targets)
    assert [name for name, text in targets.items() if not text] == []


def test_the_readme_names_every_make_target(root: Path) -> None:
    readme = (root / "README.md").read_text("utf-8")
    assert [name for name in _targets(root) if name != "help" and not re.search(rf"make {name}\b(?!-)", readme)] == []


def test_the_readme_names_every_command(root: Path) -> None:
    if importlib.util.find_spec("cli.main") is None:
        pytest.skip("there is no command line yet")
    names = list(_commands(importlib.import_module("cli.main")))
    assert "up" in names
    readme = (root / "README.md").read_text("utf-8")
    assert [name for name in names if not re.search(rf"penstock {name}\b(?!-)", readme)] == []


def _commands(module: object) -> Iterator[str]:
    """The names of all commands, those of a group with the group's name in front."""
    apps = [value for value in vars(module).values() if isinstance(value, typer.Typer)]
    assert len(apps) == 1, "cli.main holds the one typer app"
    yield from _below(typer.main.get_command(apps[0]), "")


def _below(command: click.Command, prefix: str) -> Iterator[str]:
    for name, inner in getattr(command, "commands", {}).items():
        if getattr(inner, "commands", None):
            yield from _below(inner, f"{prefix}{name} ")
        elif not inner.hidden:
            yield prefix + name
