"""Routes that choose a model by cost, quality, speed and weight, within constraints, and what is told of the choice."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from acceptance.conftest import CONFIG, KEY, OTHER_KEY, ROOT, Stack, running
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait
from acceptance.test_cache import metrics
from acceptance.test_engine import until

ROUTES = """
  house: {{provider: sim-anthropic, price: {{input: 1, output: 1}}, residency: eu, tenants: [team-a], quality: 0.9}}
  plain: {{provider: sim-openai, upstream_model: p, price: {{input: 2, output: 2}}, modalities: [text], tools: false,
    context: 500, quality: 0.5}}
routes:
  auto: {{strategy: cost, steps: [claude, plain, house], max_cost: 0.5}}
  best: {{strategy: quality, steps: [plain, house]}}
  quick: {{strategy: latency, steps: [house, plain], explore: 0}}
  split: {{strategy: weighted, steps: [auto, fast], weights: {{auto: 1, fast: 1}}}}
  smart: {{strategy: escalation, steps: [auto, claude], accept: {{pattern: "^sure"}}}}
keys:
"""


@pytest.fixture(scope="module")
def routed() -> Iterator[Stack]:
    with running({}, workers=1, config_text=CONFIG.replace("keys:\n", ROUTES)) as found:
        yield found


def job(stack: Stack, model: str, text: str, key: str = KEY, **more: Any) -> dict[str, Any]:
    """A durable job, when it has ended."""
    made = stack.call("POST", "/v1/jobs", {"model": model, "input": text, **more}, key)[1]
    until(lambda: stack.call("GET", f"/v1/jobs/{made['id']}", key=key)[1]["finished_at"])
    return stack.call("GET", f"/v1/jobs/{made['id']}", key=key)[1]


def penstock(stack: Stack, *arguments: str) -> str:
    command = [sys.executable, "-m", "cli.main", *arguments, "--url", stack.url, "--key", KEY]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_auto_goes_to_the_cheapest_that_may_serve_and_says_so(routed: Stack):
    found = job(routed, "auto", "[[echo: hi]]")
    assert (found["deployment"], found["routing"]["answered_by"]) == ("house", "house")
    assert found["routing"]["policy"] == "cost"
    assert "house is cheapest" in found["routing"]["reason"]
    assert found["routing"]["order"] == ["house", "plain", "claude"]
    other = job(routed, "auto", "[[echo: hi]]", OTHER_KEY)
    assert other["deployment"] == "plain"
    assert other["routing"]["excluded"] == {"house": "this tenant may not use it"}
    named = job(routed, "plain", "[[echo: hi]]")
    assert named["routing"] is None


def test_constraints_through_the_sdks(routed: Stack):
    client = routed.client(OTHER_KEY)
    hi = [{"role": "user", "content": "[[echo: hi]]"}]
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    seen = [{"role": "user", "content": [{"type": "text", "text": "[[echo: hi]]"}, picture]}]
    for messages, more in ((hi, {"tools": [tool]}), (seen, {}), ([{"role": "user", "content": "long " * 900}], {})):
        before = routed.openai_wire.stats()["succeeded"]
        client.chat.completions.create(model="auto", messages=messages, max_tokens=5, **more)
        assert routed.openai_wire.stats()["succeeded"] == before  # claude took it: plain may not
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="auto", messages=hi, extra_body={"residency": "eu"})
    assert refused.value.code == "no_model_fits"
    assert "`plain`: data must stay in eu" in refused.value.message
    assert "`house`: this tenant may not use it" in refused.value.message
    kept = routed.client().chat.completions.create(model="auto", messages=hi, extra_body={"residency": "eu"})
    assert kept.choices[0].message.content == "hi"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="house", messages=hi)
    assert "house" not in {model.id for model in client.models.list()}
    assert {"house", "auto", "smart"} <= {model.id for model in routed.client().models.list()}


def test_quality_and_weights(routed: Stack):
    assert job(routed, "best", "[[echo: hi]]")["deployment"] == "house"
    assert job(routed, "best", "[[echo: hi]]", OTHER_KEY)["deployment"] == "plain"
    asked = {"endpoint": "/v1/chat/completions"}
    body = {"model": "split", "messages": [{"role": "user", "content": "hi"}]}
    found = routed.call("POST", "/v1/jobs/route", {**asked, "requests": [body] * 200})[1]["data"]
    drawn = Counter(one["deployment"] for one in found)
    assert drawn.keys() == {"house", "fast"}
    assert min(drawn.values()) > 50


def test_a_batch_is_decided_line_by_line_and_what_nobody_may_serve_fails_alone(routed: Stack):
    client = routed.client(OTHER_KEY)
    lines = [chat_line(f"r-{n}", f"[[echo: {n}]] " + "and on " * (600 * (n % 2)), "auto") for n in range(20)]
    lines[7]["body"]["residency"] = "eu"
    before = routed.openai_wire.stats()["succeeded"]
    batch = wait(client, submit(client, jsonl(lines)).id)
    assert (batch.status, batch.request_counts.completed, batch.request_counts.failed) == ("completed", 19, 1)
    assert routed.openai_wire.stats()["succeeded"] - before == 10
    (refused,) = lines_of(client, batch.error_file_id)
    assert (refused["custom_id"], refused["response"]["status_code"]) == ("r-7", 400)
    assert refused["response"]["body"]["error"]["code"] == "no_model_fits"
    assert client.files.retrieve(batch.error_file_id).bytes == len(client.files.content(batch.error_file_id).content)


def test_an_escalating_route_of_routes(routed: Stack):
    sure = job(routed, "smart", "[[echo: sure]]")
    assert (sure["deployment"], sure["routing"]["answered_by"]) == ("house", "house")
    unsure = job(routed, "smart", "[[echo: perhaps]]")
    assert [step["deployment"] for step in unsure["routing"]["steps"]] == ["house", "claude"]
    assert (unsure["routing"]["policy"], unsure["routing"]["answered_by"]) == ("escalation", "claude")
    assert [attempt["deployment"] for attempt in unsure["attempts"]] == ["house", "claude"]


def test_speed_moves_away_from_a_deployment_that_has_become_slow(routed: Stack):
    client = routed.client()

    def place() -> str:
        return str(routed.call("POST", "/v1/jobs/route", {"model": "quick", "input": "hi"})[1]["data"][0]["deployment"])

    def warm(model: str, count: int) -> None:
        with ThreadPoolExecutor(count) as threads:
            calls = [threads.submit(ask, model) for _ in range(count)]
        assert all(call.result() for call in calls)

    def ask(model: str) -> str | None:
        prompt: Any = [{"role": "user", "content": "[[tokens: 5]]"}]
        return client.chat.completions.create(model=model, messages=prompt).choices[0].message.content

    warm("house", 3)
    warm("plain", 6)
    routed.anthropic_wire.faults(slow_ms=1000)
    try:
        warm("house", 16)
        until(lambda: 'penstock_recent_seconds{model="house",quantile="0.5"} 1.' in metrics(routed))
        assert place() == "plain"
        before = routed.openai_wire.stats()["succeeded"]
        lines = [chat_line(f"q-{n}", f"[[tokens: 5]] {n}", "quick") for n in range(40)]
        batch = wait(client, submit(client, jsonl(lines)).id)
        assert batch.request_counts.completed == 40
        assert routed.openai_wire.stats()["succeeded"] - before == 40
        found = job(routed, "quick", "[[tokens: 5]]")
        assert (found["deployment"], found["routing"]["policy"]) == ("plain", "latency")
        assert "when it leaves the backlog" in found["routing"]["reason"]
    finally:
        routed.anthropic_wire.faults(slow_ms=0)


def test_what_the_command_line_tells_before_anything_is_spent(routed: Stack, tmp_path: Path):
    before = routed.openai_wire.stats()["succeeded"], routed.anthropic_wire.stats()["succeeded"]
    file = tmp_path / "lines.jsonl"
    lines = [chat_line(f"d-{n}", "hello", "auto" if n < 6 else "smart") for n in range(10)]
    lines.append(chat_line("no", "hello", "unpriced"))
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert penstock(routed, "route", "What is it?").split("\t")[1].strip() == "house > plain > claude"
    told = penstock(routed, "route", "--explain", str(file))
    assert "house is cheapest" in told
    dry = penstock(routed, "submit", str(file), "--dry-run")
    assert "11 requests" in dry
    assert "price is unknown" in dry
    assert "0 to 4" in dry  # claude is asked only where an answer is not trusted
    time.sleep(0.3)
    assert (routed.openai_wire.stats()["succeeded"], routed.anthropic_wire.stats()["succeeded"]) == before


def test_what_a_route_of_the_api_refuses(routed: Stack):
    for body, param in (
        ({"requests": []}, "requests"),
        ({"requests": "x"}, "requests"),
        ({"requests": [1]}, "requests[0]"),
        ({"requests": [{}], "endpoint": "/v1/none"}, "endpoint"),
        ({"model": "auto"}, "messages"),
        ({"model": "absent", "input": "x"}, "model"),
    ):
        status, answer = routed.call("POST", "/v1/jobs/route", body)
        assert (status in {400, 404}, answer["error"]["param"]) == (True, param)
    found = routed.call("POST", "/v1/jobs/route", {"requests": [{"model": "absent", "messages": []}]})[1]["data"][0]
    assert (found["deployment"], found["error"]["param"]) == (None, "messages")
