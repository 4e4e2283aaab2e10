"""The short form of `make chaos`: some blows of a fixed seed, and every rule must hold."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["--kills", "6", "--jobs", "600", "--seconds", "2.5", "--freeze", "4", "--workers", "2", "--batch-lines", "150"]


def test_every_rule_holds_after_a_dozen_blows():
    command = [sys.executable, "-m", "load.chaos", *SHORT]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-4000:]
    assert run.stdout.count("holds ") == 8
