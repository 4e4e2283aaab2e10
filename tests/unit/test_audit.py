"""The audit of requirements: what was not looked up is never told as free of vulnerabilities."""

import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
GOOD = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.fixture
def audit() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / ".ci" / "audit.py"
    spec = importlib.util.spec_from_file_location("audit", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answering(**by_service: Any) -> Run:
    """A pip-audit that finds rows, or (a string) fails with that on its standard error."""

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        said = by_service[command[command.index("--vulnerability-service") + 1]]
        if isinstance(said, str):
            return subprocess.CompletedProcess(command, 1, "", said)
        return subprocess.CompletedProcess(command, 0, json.dumps({"dependencies": said}), "")

    return run


@pytest.mark.parametrize(
    ("pypi", "osv", "status", "said"),
    [
        ([GOOD, SKIPPED], "never asked", 0, "1 of 2 requirements looked up in pypi, 0 advisories"),
        ([GOOD, BAD], "never asked", 1, "b 2: PYSEC-1, fixed in 3"),
        ([SKIPPED], [BAD], 1, "1 of 1 requirements looked up in osv, 1 advisories"),
        ([SKIPPED], "no such host", 0, "NOT AUDITED"),
        ("broken", "no such host", 0, "osv was of no use: no such host"),
        ([], [], 0, "NOT AUDITED"),
    ],
)
def test_only_what_was_looked_up_counts(
    audit: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pypi: Any,
    osv: Any,
    status: int,
    said: str,
):
    monkeypatch.setattr(subprocess, "run", answering(pypi=pypi, osv=osv))
    assert audit.main() == status
    assert said in capsys.readouterr().out
