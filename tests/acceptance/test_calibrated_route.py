"""A route calibrated on its user's own batches: from the evaluations to a verifier that serves, and back."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import ADMIN_KEY, CONFIG, KEY, ROOT, Stack, running
from acceptance.test_batches import chat_line, jsonl, submit, wait
from acceptance.test_engine import until
from acceptance.test_escalation import ask

ROUTES = """
routes:
  checked:
    {{strategy: escalation, steps: [fast, claude], accept: {{verifier: true}}, shadow: 1.0}}
  chosen: {{strategy: content, steps: [fast, claude]}}
keys:
"""
EASY, HARD = ("add", "spell", "count"), ("prove", "derive", "integrate")
SIZE = 160


@pytest.fixture(scope="module")
def routed() -> Iterator[Stack]:
    with running({}, workers=1, config_text=CONFIG.replace("keys:\n", ROUTES)) as found:
        yield found


def question(number: int) -> tuple[str, bool]:
    """A prompt, and whether it is hard: the cheap model is then wrong."""
    hard = number % 4 == 0
    word = (HARD if hard else EASY)[number // 4 % 3]
    return f"please {word} the number {number % 10} [[echo: the answer is {number % 7}]]", hard


def penstock(stack: Stack, *arguments: str, route: str = "checked") -> str:
    command = [sys.executable, "-m", "cli.main", "calibrate", route, *arguments]
    keys = ["--url", stack.url, "--admin-key", ADMIN_KEY, "--key", KEY]
    done = subprocess.run([*command, *keys], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def status(stack: Stack) -> dict[str, Any]:
    return stack.call("GET", "/admin/routes/checked/status", key=ADMIN_KEY)[1]


def in_use(stack: Stack) -> int | None:
    found: int | None = stack.call("GET", "/admin/routes/checked", key=ADMIN_KEY)[1]["artefact"]
    return found


def served(stack: Stack, text: str) -> dict[str, Any]:
    """A job that met the first version: each worker looks for it by itself."""
    found: list[dict[str, Any]] = []

    def asked() -> bool:
        found.append(ask(stack, "checked", text))
        return bool(found[-1]["routing"]["artefact"] == 1)

    until(asked)
    return found[-1]


def test_from_evaluations_to_serving_and_back(routed: Stack, tmp_path: Path):
    before = ask(routed, "checked", question(1)[0])
    assert (before["deployment"], before["routing"]["artefact"]) == ("claude", None)
    assert "no verifier" in before["routing"]["steps"][0]["reason"]

    client = routed.client()
    batches = [
        wait(client, submit(client, jsonl([chat_line(f"q-{n}", question(n)[0], model) for n in range(SIZE)])).id).id
        for model in ("fast", "claude")
    ]
    labels = tmp_path / "labels.jsonl"
    rows = [{"custom_id": f"q-{n}", "right": {"fast": not question(n)[1], "claude": True}} for n in range(SIZE)]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = [part for name in (*batches, str(labels)) for part in ("--labels", name)]
    drawing = tmp_path / "curve.svg"
    told = penstock(routed, *sources, "--target", "0.95", "--drawing", str(drawing))
    assert "version 1 of checked is active" in told
    assert "saves" in told
    assert drawing.read_text().startswith("<svg")

    easy, hard = (served(routed, question(n)[0]) for n in (1, 4))
    assert (easy["deployment"], hard["deployment"]) == ("fast", "claude")
    assert easy["routing"]["steps"][0]["confidence"] > 0.8 > hard["routing"]["steps"][0]["confidence"]

    # the answer that was kept is asked of the strong model too, which says the same here
    until(lambda: status(routed)["shadow_samples"]["compared"])
    taken = status(routed)["shadow_samples"]
    assert (taken["agreed"], taken["cost"] > 0) == (taken["compared"], True)
    until(lambda: status(routed)["escalation"]["of"] >= 2)
    assert (status(routed)["state"], 0 < status(routed)["escalation"]["value"] < 1) == ("unknown", True)
    assert "penstock_route_state" in _metrics(routed)

    # the same evaluations teach a route that decides by the prompt alone
    assert "version 1 of chosen is active" in penstock(routed, *sources, "--target", "0.95", route="chosen")
    until(lambda: ask(routed, "chosen", question(1)[0])["deployment"] == "fast")
    assert ask(routed, "chosen", question(4)[0])["deployment"] == "claude"

    assert "saves" in penstock(routed, "--list")
    assert "no version is active" in penstock(routed, "--rollback", "none")
    until(lambda: in_use(routed) is None)
    assert "version 1 of checked is active" in penstock(routed, "--rollback", "1")
    assert "unknown" in penstock(routed, "--status")


def _metrics(stack: Stack) -> str:
    import urllib.request

    request = urllib.request.Request(stack.url + "/metrics", headers={"authorization": f"Bearer {ADMIN_KEY}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())
