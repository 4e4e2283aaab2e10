"""What the engine does when a provider fails, and when a tenant wants more than its tier."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import openai
import pytest
from acceptance.conftest import ADMIN_KEY, CONFIG, KEY, Stack, running
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait
from acceptance.test_jobs_api import events

#: as everywhere, with breakers that are quick to open and to try again, and tenants of a small tier
ENGINE = """
  narrow: {{provider: sim-openai, upstream_model: narrow, limits: {{concurrency: 2}}, price: {{input: 1, output: 2}}}}
routes:
  sure: {{strategy: fallback, steps: [fast, claude]}}
  picky: {{strategy: fallback, steps: [fast, claude], fallback_on: [invalid_request, content_policy]}}
breaker: {{failures: 3, reset_seconds: 2, probes: 2}}
retries:
  bulk: {{max_attempts: 20}}
keys:
  - {{key: sk-queue-key, tenant: queue, tier: modest}}
  - {{key: sk-tiny-key, tenant: tiny, tier: tiny}}
  - {{key: sk-three-key, tenant: three, tier: small}}
"""
TIERS = """tiers:
  modest: {{requests_per_minute: 60, tokens_per_minute: 6000}}
  tiny: {{requests_per_minute: 600, tokens_per_minute: 1000}}
"""
ASKED = [{"role": "user", "content": "[[echo: well]]"}]


@pytest.fixture(scope="module")
def engine() -> Iterator[Stack]:
    with running({}, config_text=CONFIG.replace("keys:\n", ENGINE).replace("tiers:\n", TIERS)) as found:
        yield found


@pytest.fixture(autouse=True)
def well_again(engine: Stack) -> Iterator[None]:
    yield
    engine.openai_wire.faults(outage="none", error_rate=0)
    engine.anthropic_wire.faults(outage="none")
    until(lambda: all(breaker["state"] == "closed" or breaker["open_for_seconds"] == 0 for breaker in breakers(engine)))


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def breakers(stack: Stack) -> list[dict[str, Any]]:
    return stack.call("GET", "/admin/breakers", key=ADMIN_KEY)[1]["data"]


def breaker_of(stack: Stack, model: str) -> dict[str, Any]:
    return next(breaker for breaker in breakers(stack) if model in breaker["models"])


def job(stack: Stack, response_id: str) -> dict[str, Any]:
    return stack.call("GET", "/v1/jobs/job_" + response_id.rpartition("-")[2].rpartition("_")[2])[1]


def outcomes(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(attempt["deployment"], attempt["outcome"]) for attempt in found["attempts"]]


# Fallback


def test_a_waiting_client_is_answered_by_the_next_model_of_the_route(engine: Stack):
    engine.openai_wire.faults(outage="status")
    answer = engine.client().chat.completions.create(model="sure", messages=ASKED)
    assert answer.choices[0].message.content == "well"
    found = job(engine, answer.id)
    assert found["deployment"] == "claude"
    assert outcomes(found)[-1] == ("claude", "succeeded")
    failed = found["attempts"][0]
    assert (failed["deployment"], failed["error"]["type"], failed["cost"]) == ("fast", "ProviderOverloaded", None)
    assert found["cost"] == found["attempts"][-1]["cost"] > 0


def test_a_request_names_its_own_fallback(engine: Stack):
    engine.openai_wire.faults(outage="reset")
    ask = {"model": "fast", "messages": ASKED, "extra_body": {"fallback": ["claude"]}}
    assert job(engine, engine.client().chat.completions.create(**ask).id)["deployment"] == "claude"
    stream = engine.client().chat.completions.create(**ask, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == "well"
    response = engine.client().responses.create(
        model="fast", input="[[echo: well]]", background=True, extra_body={"fallback": ["claude"]}
    )
    until(lambda: engine.client().responses.retrieve(response.id).status == "completed")
    assert job(engine, response.id)["deployment"] == "claude"


def test_a_batch_goes_on_at_the_next_model(engine: Stack):
    engine.openai_wire.faults(outage="status")
    lines = [chat_line(f"f-{n}", f"[[echo: {n}]]", "sure") for n in range(60)]
    batch = wait(engine.client(), submit(engine.client(), jsonl(lines)).id)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    answers = lines_of(engine.client(), batch.output_file_id)
    texts = [line["response"]["body"]["choices"][0]["message"]["content"] for line in answers]
    assert texts == [str(n) for n in range(60)]


def test_what_the_caller_got_wrong_falls_back_only_where_the_route_says_so(engine: Stack):
    asked = [{"role": "user", "content": "[[error: 400]]"}]
    with pytest.raises(openai.BadRequestError):
        engine.client().chat.completions.create(model="sure", messages=asked)
    # the second model is asked too, and says the same
    with pytest.raises(openai.BadRequestError):
        engine.client().chat.completions.create(model="picky", messages=asked)
    calls = engine.anthropic_wire.stats()["by_status"]
    assert calls.get("400", calls.get(400)) == 1


def test_without_a_fallback_the_error_is_told_in_the_end(engine: Stack):
    engine.openai_wire.faults(outage="status")
    with pytest.raises(openai.InternalServerError):
        engine.client().chat.completions.create(model="fast", messages=ASKED)


# Breaker


def test_an_ill_provider_is_left_alone_and_its_work_waits(engine: Stack):
    """The breaker opens, batch lines park, and all are answered once the provider is back: nothing failed."""
    engine.openai_wire.faults(outage="status")
    before = breaker_of(engine, "fast")["transitions"]["open"]
    lines = [chat_line(f"p-{n}", f"[[echo: {n}]]") for n in range(200)]
    batch = submit(engine.client(), jsonl(lines))
    until(lambda: breaker_of(engine, "fast")["transitions"]["open"] >= before + 2)
    # while it is open nobody is asked; a waiting client hears so at once, with when to ask again
    until(lambda: breaker_of(engine, "fast")["state"] == "open")
    with pytest.raises(openai.InternalServerError) as refused:
        engine.client().chat.completions.create(model="fast", messages=ASKED)
    if refused.value.status_code == 503:
        assert 0 < float(refused.value.response.headers["retry-after-ms"]) <= 2000
    counts = engine.client().batches.retrieve(batch.id).request_counts
    assert counts is not None
    assert (counts.completed, counts.failed) == (0, 0)
    engine.openai_wire.faults(outage="none")
    ended = wait(engine.client(), batch.id)
    assert (ended.status, ended.error_file_id, ended.request_counts.completed) == ("completed", None, 200)  # type: ignore[union-attr]
    until(lambda: breaker_of(engine, "fast")["state"] == "closed")
    told = engine.call("GET", "/admin/breakers/events", key=ADMIN_KEY)[1]["data"]
    states = [event["state"] for event in told if event["upstream"] == breaker_of(engine, "fast")["upstream"]]
    assert states[0] == "closed"
    assert {"open", "half_open", "closed"} <= set(states)
    assert all(datetime.fromisoformat(event["at"]) for event in told)


def test_metrics_tell_the_state_of_breakers_quotas_and_work(engine: Stack):
    request = urllib.request.Request(f"{engine.url}/metrics", headers={"authorization": f"Bearer {ADMIN_KEY}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
    upstream = breaker_of(engine, "fast")["upstream"]
    assert f'penstock_breaker_state{{state="closed",upstream="{upstream}"}} 1.0' in text
    assert f'penstock_breaker_transitions_total{{state="open",upstream="{upstream}"}}' in text
    assert 'penstock_workers{lane="bulk"} 2.0' in text
    assert engine.call("GET", "/metrics", key=KEY)[0] == 403


# Streams that break


def test_a_stream_that_nobody_read_yet_is_tried_again(engine: Stack):
    found = engine.call("POST", "/v1/jobs", {"model": "fast", "messages": [_user("[[fail: 2]][[echo: whole]]")]})[1]
    seen = list(events(engine, found["id"]))
    assert [event["event"] for event in seen].count("reset") == 0
    assert json.loads(seen[-1]["data"])["output"]["text"] == "whole"


def test_a_stream_that_broke_begins_anew_with_a_reset(engine: Stack):
    """Chunks were seen: the answer is a new generation, and its reader is told so."""
    engine.openai_wire.faults(cut_rate=0.7)
    ask = {"model": "fast", "messages": [_user("[[tokens: 60]]")], "stream": True}
    found = engine.call("POST", "/v1/jobs", ask)[1]
    seen = list(events(engine, found["id"]))
    engine.openai_wire.faults(cut_rate=0)
    kinds = [event["event"] for event in seen]
    assert kinds[-1] == "end"
    final = json.loads(seen[-1]["data"])
    assert final["status"] == "succeeded"
    assert kinds.count("reset") == len(final["attempts"]) - 1
    last = seen[len(kinds) - 1 - kinds[::-1].index("reset") :] if "reset" in kinds else seen
    told = "".join(json.loads(event["data"])["text"] for event in last if event["event"] == "delta")
    assert told == final["output"]["text"]


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


# Limits


def test_a_waiting_client_over_its_tier_is_told_when_to_come_back(engine: Stack):
    client = engine.client("sk-tiny-key")
    asked = {"model": "claude", "messages": [_user("[[tokens: 400]]")], "max_tokens": 500}
    raw = client.chat.completions.with_raw_response.create(**asked)
    assert raw.headers["x-ratelimit-limit-requests"] == "600"
    assert int(raw.headers["x-ratelimit-remaining-tokens"]) < 1000
    client.chat.completions.create(**asked)
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(**asked)
    headers = refused.value.response.headers
    assert refused.value.code == "rate_limit_exceeded"
    assert "tiny" in refused.value.message
    assert 0 < float(headers["retry-after"]) <= 60
    assert headers["x-ratelimit-limit-tokens"] == "1000"
    assert headers["x-ratelimit-reset-tokens"]
    with pytest.raises(openai.BadRequestError, match="tokens"):
        client.chat.completions.create(model="claude", messages=[_user("word " * 3000)])


def test_a_tenants_first_minute_has_all_of_its_tier(engine: Stack):
    """Three requests a minute: the first calls at once get all of them, and no more."""
    client = engine.client("sk-three-key")
    left = []
    with pytest.raises(openai.RateLimitError):  # noqa: PT012 — the last of these is refused
        for _ in range(4):
            raw = client.chat.completions.with_raw_response.create(model="fast", messages=ASKED)
            left.append(int(raw.headers["x-ratelimit-remaining-requests"]))
    assert (len(left), left[0]) == (3, 2)


def test_queued_work_over_its_tier_waits(engine: Stack):
    """60 requests at once, then one a second: a batch of 64 is done, late, and nothing of it failed."""
    client = engine.client("sk-queue-key")
    batch = submit(client, jsonl([chat_line(f"t-{n}", f"[[echo: {n}]]", max_tokens=20) for n in range(64)]))
    ended = wait(client, batch.id)
    assert (ended.status, ended.error_file_id) == ("completed", None)
    # somebody else is not held up by it
    assert engine.client().chat.completions.create(model="fast", messages=ASKED).choices[0].message.content == "well"


def test_no_more_calls_run_at_once_than_the_model_allows(engine: Stack):
    engine.openai_wire.faults()
    lines = [chat_line(f"c-{n}", "[[delay: 200]]", "narrow") for n in range(12)]
    batch = submit(engine.client(), jsonl(lines))
    most = 0
    while engine.client().batches.retrieve(batch.id).status not in ("completed", "failed"):
        most = max(most, engine.openai_wire.stats()["in_flight"])
        time.sleep(0.02)
    assert wait(engine.client(), batch.id).error_file_id is None
    assert most == 2


# Money


def test_an_unknown_price_is_unknown(engine: Stack):
    answer = engine.client().chat.completions.create(model="unpriced", messages=ASKED)
    found = job(engine, answer.id)
    assert found["cost"] is None
    assert found["attempts"][0]["cost"] is None
    assert found["attempts"][0]["output_tokens"] > 0
