"""What an escalating route asks for before it trusts an answer, and what its operator sees, on a real stack."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import ADMIN_KEY, CONFIG, KEY, ROOT, Simulator, Stack, running, start_simulator
from acceptance.test_batches import chat_line, jsonl, submit, wait
from acceptance.test_cache import metrics
from acceptance.test_engine import until
from acceptance.test_escalation import ask, steps
from acceptance.test_jobs_api import events

ROUTES = """
  twin: {{provider: sim-openai, upstream_model: fast, price: {{input: 1, output: 2}}}}
  scarce: {{provider: tight, upstream_model: fast, price: {{input: 1, output: 2}}}}
  gone: {{provider: broken}}
routes:
  sampled: {{strategy: escalation, steps: [fast, claude], accept: {{samples: {{count: 2, rule: exact}}}}}}
  strict:
    strategy: escalation
    steps: [fast, claude]
    accept: {{samples: {{count: 1, rule: exact}}, judge: {{model: twin, min: 0.7}}, require: all}}
  unjudged: {{strategy: escalation, steps: [fast, claude], accept: {{judge: {{model: gone}}}}}}
  shown: {{strategy: escalation, steps: [fast, claude], accept: {{pattern: "^sure"}}, stream: generations}}
  thin: {{strategy: escalation, steps: [fast, scarce, claude], accept: {{agreement: exact}}, parallel: 2}}
  checked: {{strategy: escalation, steps: [fast, claude], accept: {{verifier: true}}}}
  forced: {{strategy: escalation, steps: [fast, claude], accept: {{verifier: true}}}}
keys:
"""
#: `tight` allows two requests at once and two a second
PROVIDERS = """
  broken: {{{{wire_format: openai, base_url: {{openai}}/nothing}}}}
  tight:
    wire_format: openai
    base_url: {url}/v1
    limits: {{{{requests_per_minute: 120, burst_seconds: 1}}}}
models:
"""
EASY, HARD = ("add", "spell", "count"), ("prove", "derive", "integrate")
SIZE = 160


@pytest.fixture(scope="module")
def tight() -> Iterator[Simulator]:
    """A provider that refuses what is over its quota; a little more than Penstock is told, for the jitter of clocks."""
    found = start_simulator("openai", "--latency-ms", "20", "--requests-per-minute", "132", "--burst-seconds", "1.4")
    yield found
    found.stop()


@pytest.fixture(scope="module")
def routed(tight: Simulator) -> Iterator[Stack]:
    config = CONFIG.replace("keys:\n", ROUTES).replace("\nmodels:\n", PROVIDERS.format(url=tight.url))
    with running({}, config_text=config) as found:
        yield found


def penstock(stack: Stack, *arguments: str) -> str:
    command = [sys.executable, "-m", "cli.main", "calibrate", *arguments]
    keys = ["--url", stack.url, "--admin-key", ADMIN_KEY, "--key", KEY]
    done = subprocess.run([*command, *keys], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_samples_that_say_the_same_speak_for_an_answer(routed: Stack):
    found = ask(routed, "sampled", "[[echo: 42]]")
    assert steps(found) == [("fast", True)]
    first = found["routing"]["steps"][0]
    assert first["signals"] == {"samples": 1.0}
    assert [attempt["deployment"] for attempt in found["attempts"]] == ["fast"] * 3
    assert first["cost"] == found["cost"] == pytest.approx(sum(attempt["cost"] for attempt in found["attempts"]))


def test_samples_that_differ_do_not(routed: Stack):
    """Words of the simulator follow from the whole prompt, and each sample has a sentence more."""
    found = ask(routed, "sampled", "[[tokens: 12]]")
    assert steps(found) == [("fast", False), ("claude", True)]
    assert found["routing"]["steps"][0]["signals"] == {"samples": 0.0}
    assert [attempt["deployment"] for attempt in found["attempts"]] == ["fast"] * 3 + ["claude"]
    assert found["usage"]["output_tokens"] == found["attempts"][-1]["output_tokens"], "of the answer that is given"
    client = routed.client()
    lines = [chat_line(f"s-{n}", f"[[echo: {n}]]" if n % 4 else f"[[tokens: {n + 9}]]", "sampled") for n in range(40)]
    before = routed.anthropic_wire.stats()["succeeded"]
    batch = wait(client, submit(client, jsonl(lines)).id)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    assert routed.anthropic_wire.stats()["succeeded"] - before == 10


@pytest.mark.parametrize(
    ("text", "signals", "called"),
    [
        ("[[echo: 90]]", {"samples": 1.0, "judge": 0.9}, ["fast", "fast", "twin"]),
        ("[[echo: 30]]", {"samples": 1.0, "judge": 0.3}, ["fast", "fast", "twin", "claude"]),
        # what cannot be accepted any more is not graded
        ("[[tokens: 12]]", {"samples": 0.0}, ["fast", "fast", "claude"]),
    ],
)
def test_where_all_are_required_each_has_to_speak(
    routed: Stack, text: str, signals: dict[str, float], called: list[str]
):
    found = ask(routed, "strict", text)
    assert found["routing"]["steps"][0]["signals"] == signals
    assert [attempt["deployment"] for attempt in found["attempts"]] == called


def test_a_judge_that_fails_says_nothing_and_its_call_is_told(routed: Stack):
    found = ask(routed, "unjudged", "[[echo: 90]]")
    assert steps(found) == [("fast", False), ("claude", True)]
    assert "the judge gone failed" in found["routing"]["steps"][0]["reason"]
    assert [attempt["deployment"] for attempt in found["attempts"]] == ["fast", "gone", "claude"]


def test_a_reader_of_generations_is_told_to_begin_anew(routed: Stack):
    """The first answer takes three seconds, so its reader is there long before it is rejected."""
    body = {"model": "shown", "messages": [{"role": "user", "content": "[[tokens: 1200]]"}], "stream": True}
    made = routed.call("POST", "/v1/jobs", body)[1]
    seen = list(events(routed, made["id"]))
    kinds = [event["event"] for event in seen]
    assert kinds.count("reset") == 1
    at = kinds.index("reset")
    shown = [
        "".join(json.loads(e["data"])["text"] for e in part if e["event"] == "delta") for part in (seen[:at], seen[at:])
    ]
    final = json.loads(seen[-1]["data"])
    assert final["routing"]["answered_by"] == "claude"
    assert shown[0]
    assert shown[0] != shown[1]
    assert shown[1] == final["output"]["text"]
    # who comes back with the last id before the reset is told of it too; ids go on
    again = list(events(routed, made["id"], int(seen[at - 1]["id"])))
    assert json.loads(again[-1]["data"])["output"]["text"] == final["output"]["text"]


def test_a_model_without_quota_is_asked_afterwards_and_its_quota_is_kept(routed: Stack, tight: Simulator):
    before = routed.openai_wire.stats()["by_model"].get("fast", 0)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: ask(routed, "thin", f"[[echo: {n}]] said twice"), range(8)))
    for job in found:
        assert job["status"] == "succeeded"
        assert sorted(attempt["deployment"] for attempt in job["attempts"]) == ["fast", "scarce"]
        assert job["routing"]["answered_by"] in {"fast", "scarce"}
    # no answer of the one that had quota was asked for again
    assert routed.openai_wire.stats()["by_model"]["fast"] - before == 8
    stats = tight.stats()
    assert (stats["calls"], stats["succeeded"], stats["rate_limited"]) == (8, 8, 0)
    afterwards = [job for job in found if job["routing"]["answered_by"] == "scarce"]
    assert afterwards, "two had quota at once, and eight asked"
    assert {step["reason"] for job in afterwards for step in job["routing"]["steps"] if not step["accepted"]} == {
        "no other answer to compare with yet"
    }


def question(number: int) -> tuple[str, bool]:
    """A prompt, and whether it is hard."""
    hard = number % 4 == 0
    return f"please {(HARD if hard else EASY)[number // 4 % 3]} the number {number}", hard


def test_a_judge_grades_what_a_route_learns_from_and_the_operator_sees_it_drift(routed: Stack):
    """Answers are orders to the simulated judge: what it is to say of them. The strong model's are always good."""
    client, batches = routed.client(), []
    for model in ("fast", "claude"):
        lines = []
        for number in range(SIZE):
            text, hard = question(number)
            grade = 20 if hard and model == "fast" else 95
            lines.append(chat_line(f"j-{number}", f"{text} [[echo: [[echo: {grade}]]]]", model))
        batches.append(wait(client, submit(client, jsonl(lines)).id).id)
    before = routed.openai_wire.stats()["calls"]
    sources = [part for name in batches for part in ("--labels", name)]
    told = penstock(routed, "checked", *sources, "--grader", "judge", "--judge", "twin", "--target", "0.95")
    assert "version 1 of checked is active" in told
    assert routed.openai_wire.stats()["calls"] - before == 2 * SIZE, "each answer was graded once"
    (row,) = routed.call("GET", "/admin/routes/checked/artefacts", key=ADMIN_KEY)[1]["data"]
    assert row["report"]["examples"] == SIZE

    def served() -> dict[str, Any]:
        return ask(routed, "checked", f"{question(1)[0]} [[echo: [[echo: 95]]]]")

    until(lambda: served()["routing"]["artefact"] == 1)
    assert served()["deployment"] == "fast"
    assert "unknown" in penstock(routed, "checked", "--status")

    strange = "translate this letter of our notary concerning heirs, deeds and a lighthouse: "
    lines = [chat_line(f"d-{n}", f"{strange * 6} [[echo: letter {n}]]", "checked") for n in range(160)]
    assert wait(client, submit(client, jsonl(lines)).id).status == "completed"
    until(lambda: "drifting" in penstock(routed, "checked", "--status"))
    shown = routed.call("GET", "/admin/routes/checked/status", key=ADMIN_KEY)[1]
    assert shown["state"] == "drifting"
    assert any("unlike those of calibration" in reason for reason in shown["reasons"])
    assert 'penstock_route_state{route="checked",state="drifting"} 1' in metrics(routed)


def test_what_saves_nothing_is_activated_by_force_only(routed: Stack, tmp_path: Path):
    """The cheap model is right by chance, whatever is asked: then it is not even asked."""
    labels = tmp_path / "labels.jsonl"
    rows = [
        {
            "custom_id": f"n-{n}",
            "prompt": f"question {n * 7919 % 1000}",
            "right": {"fast": bool(n * 2654435761 % 2**32 & 2**20), "claude": True},
            "answers": {"fast": "yes", "claude": "no"},
            "costs": {"fast": 0.001, "claude": 0.01},
        }
        for n in range(SIZE)
    ]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = penstock(routed, "forced", "--labels", str(labels))
    assert "no saving here" in told
    assert "version 1 of forced is kept, not active: it saves nothing (--force activates it)" in told
    assert routed.call("GET", "/admin/routes/forced", key=ADMIN_KEY)[1]["artefact"] is None
    assert ask(routed, "forced", "question 1")["routing"]["artefact"] is None
    told = penstock(routed, "forced", "--labels", str(labels), "--force", "--note", "all to the strong one")
    assert "version 2 of forced is active" in told
    until(lambda: [one["deployment"] for one in ask(routed, "forced", "question 2")["attempts"]] == ["claude"])
    rows = routed.call("GET", "/admin/routes/forced/artefacts", key=ADMIN_KEY)[1]["data"]
    assert [(row["version"], row["active"]) for row in rows] == [(2, True), (1, False)]
    assert rows[0]["note"] == "all to the strong one"
