"""The walls between rooms: .importlinter holds the contracts and the reason for each."""

import subprocess
import sys
from pathlib import Path

#: no script by itself: it stands in front of its neighbours, and its header describes the keys instead
PARTS = {"penstock/limits/state.lua": "HASH"}


def test_no_import_crosses_a_wall(root: Path) -> None:
    command = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([command, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_contract_has_its_reason(root: Path) -> None:
    """A contract without the sentence above it would be removed by the first person it hinders."""
    lines = (root / ".importlinter").read_text("utf-8").splitlines()
    headers = [index for index, line in enumerate(lines) if line.startswith("[importlinter:contract:")]
    assert len(headers) >= 8
    assert [lines[index] for index in headers if not lines[index - 1].startswith("# ")] == []


def test_lua_scripts_say_what_they_are_given(root: Path) -> None:
    """A script's caller is in another language: its header is the only signature it has."""
    nameless = []
    for path in sorted((root / "penstock").rglob("*.lua")):
        header = []
        for line in path.read_text("utf-8").splitlines():
            if not line.startswith("--"):
                break
            header.append(line)
        name = str(path.relative_to(root))
        expected = [PARTS[name]] if name in PARTS else ["KEYS", "ARGV"]
        if not all(word in "\n".join(header) for word in expected):
            nameless.append(name)
    assert nameless == []
