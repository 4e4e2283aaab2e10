"""Paying once: repeated requests over the real stack, counted by the providers that were asked."""

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from acceptance.conftest import ADMIN_KEY, CONFIG, OTHER_KEY, Stack, running
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait
from acceptance.test_engine import until

from load import cpu
from load.coalescing import calls_of, explain, kill_busiest
from load.simulated import started

GUARD = """
guard:
  policies:
    masked: {{input: [{{check: personal_data}}]}}
  rules:
    - {{policy: masked}}
"""
#: after which a dead worker's jobs are known to be taken up again
PATIENCE = 90.0


@pytest.fixture(scope="module")
def witness() -> Iterator[str]:
    """A provider that writes down its calls."""
    with started("load.witness", "150") as url:
        yield url


@pytest.fixture(scope="module")
def caching(witness: str) -> Iterator[Stack]:
    provider = f"  witness: {{{{wire_format: openai, base_url: '{witness}/v1'}}}}\n"
    price = "{{input: 3, output: 15}}"
    models = "  seen: {{provider: witness}}\n"
    models += f"  claude-on: {{{{provider: sim-anthropic, upstream_model: c, continues: true, price: {price}}}}}\n"
    models += "  claude-anew: {{provider: sim-anthropic, upstream_model: c}}\n"
    config = CONFIG.replace("models:\n", f"{provider}models:\n{models}", 1) + GUARD
    with running({}, workers=4, config_text=config) as found:
        yield found


def requests(stack: Stack) -> dict[str, dict[str, Any]]:
    """What the simulator was asked, by the beginning of the prompt."""
    with urllib.request.urlopen(f"{stack.openai_wire.url}/_sim/stats?detail=1", timeout=10) as answer:
        return {row["prompt"]: row for row in json.load(answer)["requests"].values()}


def ask(client: openai.OpenAI, text: str, **options: Any) -> tuple[str | None, str, str]:
    """What the cache came to, the text, and the usage as JSON."""
    body: dict[str, Any] = {"model": "fast", "messages": [{"role": "user", "content": text}], "temperature": 0}
    raw = client.chat.completions.with_raw_response.create(**(body | options))
    answer = raw.parse()
    assert answer.usage
    return raw.headers.get("x-penstock-cache"), answer.choices[0].message.content or "", answer.usage.to_json()


def streamed(client: openai.OpenAI, text: str) -> tuple[str | None, str, int]:
    with client.chat.completions.with_streaming_response.create(
        model="fast", messages=[{"role": "user", "content": text}], temperature=0, stream=True
    ) as response:
        cached = response.headers.get("x-penstock-cache")
        pieces = [c.choices[0].delta.content or "" for c in response.parse() if c.choices]
    return cached, "".join(pieces), len(pieces)


def test_plain_and_streamed_share_an_entry(caching: Stack):
    client = caching.client()
    first = ask(client, "share one [[tokens: 12]]")
    again = ask(client, "share one [[tokens: 12]]")
    assert (first[0], again[0]) == ("miss", "hit")
    assert first[1:] == again[1:]
    cached, text, _ = streamed(client, "share one [[tokens: 12]]")
    assert (cached, text) == ("hit", first[1])
    live = streamed(client, "share two [[tokens: 12]]")
    assert (live[0], ask(client, "share two [[tokens: 12]]")[:2]) == ("miss", ("hit", live[1]))
    assert streamed(client, "share two [[tokens: 12]]") == ("hit", *live[1:]), "it keeps its chunks"
    assert [requests(caching)[f"share {n} [[tokens: 12]]"]["calls"] for n in ("one", "two")] == [1, 1]


def test_anthropics_dialect_has_its_own_entries_and_the_same_header(caching: Stack):
    client = caching.anthropic_client()

    def message() -> tuple[str | None, str]:
        raw = client.messages.with_raw_response.create(
            model="claude",
            max_tokens=50,
            extra_body={"temperature": 0},
            messages=[{"role": "user", "content": "of claude [[tokens: 9]]"}],
        )
        return raw.headers.get("x-penstock-cache"), raw.parse().content[0].text  # type: ignore[union-attr]

    first, second = message(), message()
    assert (first[0], second) == ("miss", ("hit", first[1]))


def test_a_hit_costs_nothing_and_what_it_saved_is_shown(caching: Stack):
    client = caching.client()
    body = {"model": "fast", "messages": [{"role": "user", "content": "cost [[tokens: 9]]"}], "temperature": 0}
    jobs = []
    for _ in range(2):
        job = client.post("/jobs", body=body, cast_to=dict[str, Any])
        while job["status"] not in {"succeeded", "failed"}:
            job = client.get(f"/jobs/{job['id']}", cast_to=dict[str, Any])
        jobs.append(job)
    assert [job["cache"] for job in jobs] == ["miss", "hit"]
    assert [len(job["attempts"]) for job in jobs] == [1, 0]
    # each worker tells its counts by itself, the one that missed perhaps after the one that hit
    expected = ('penstock_cache_requests_total{model="fast",source="miss"}', "penstock_cache_saved_usd_total")
    deadline = time.monotonic() + 60
    while not all(each in (shown := metrics(caching)) for each in expected) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert expected[0] in shown
    saved = [line for line in shown.splitlines() if line.startswith('penstock_cache_saved_usd_total{model="fast"}')]
    assert float(saved[0].split()[-1]) > 0
    status, listed = caching.call("GET", "/admin/savings", key=ADMIN_KEY)
    assert status == 200
    row = next(row for row in listed["data"] if (row["tenant"], row["model"]) == ("team-a", "fast"))
    assert row["total_usd"] == row["answers_usd"] > 0
    assert caching.call("GET", "/admin/savings")[0] == 403


def test_embeddings_are_kept_too(caching: Stack):
    client = caching.client()

    def embedded(texts: list[str], **options: Any) -> tuple[str | None, list[list[float]]]:
        raw = client.embeddings.with_raw_response.create(model="fast", input=texts, dimensions=8, **options)
        return raw.headers.get("x-penstock-cache"), [entry.embedding for entry in raw.parse().data]

    first, again = embedded(["kept", "vectors"]), embedded(["kept", "vectors"])
    assert (first[0], again) == ("miss", ("hit", first[1]))
    assert embedded(["vectors", "kept"]) == ("miss", first[1][::-1])
    assert embedded(["kept", "vectors"], extra_headers={"x-penstock-cache": "off"})[0] is None
    assert embedded(["kept", "vectors"], encoding_format="float")[0] == "hit"


def metrics(stack: Stack) -> str:
    request = urllib.request.Request(f"{stack.url}/metrics", headers={"authorization": f"Bearer {ADMIN_KEY}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def test_no_hit_across_tenants_parameters_or_temperatures(caching: Stack):
    client = caching.client()
    text = "apart [[tokens: 5]]"
    assert ask(client, text)[0] == "miss"
    assert ask(caching.client(OTHER_KEY), text)[0] == "miss"
    for options in ({"max_tokens": 40}, {"seed": 7}, {"stop": ["x"]}, {"model": "claude"}, {"top_p": 0.5}):
        assert ask(client, text, **options)[0] == "miss", options
    assert ask(client, text, temperature=0.5)[0] is None
    assert ask(client, text, temperature=openai.omit)[0] is None
    assert ask(client, text, user="somebody")[0] == "hit"


def test_a_request_says_what_it_wishes(caching: Stack):
    client = caching.client()

    def wish(value: str, **options: Any) -> str | None:
        return ask(client, "wish [[tokens: 5]]", extra_headers={"x-penstock-cache": value}, **options)[0]

    assert wish("no-store") is None
    assert wish("read") == "miss"
    assert wish("on") == "miss"
    assert wish("on") == "hit"
    assert wish("refresh") == "miss"
    assert wish("max-age=3600") == "hit"
    time.sleep(1.1)
    assert wish("max-age=1") == "miss"
    assert wish("on", temperature=1) == "miss"
    assert wish("on", temperature=1) == "hit"
    assert requests(caching)["wish [[tokens: 5]]"]["calls"] >= 1
    with pytest.raises(openai.BadRequestError) as wrong:
        wish("sometimes")
    assert wrong.value.param == "penstock_cache"
    by_field = ask(client, "wish [[tokens: 5]]", extra_body={"penstock_cache": "off"})
    assert by_field[0] is None


def test_entries_hold_no_masked_text_and_serve_others_words(caching: Stack):
    """The key is of what the provider is sent: two people's requests may be one."""
    client = caching.client()
    assert ask(client, "[[echo: Dear zofia@example.com]]")[:2] == ("miss", "Dear zofia@example.com")
    assert ask(client, "[[echo: Dear karol@example.com]]")[:2] == ("hit", "Dear karol@example.com")
    assert streamed(client, "[[echo: Dear maria@example.com]]")[:2] == ("hit", "Dear maria@example.com")


def test_an_error_is_not_kept(caching: Stack):
    client = caching.client()
    for _ in range(2):
        with pytest.raises(openai.BadRequestError):
            ask(client, "[[error: 400]] not kept")
    assert requests(caching)["[[error: 400]] not kept"]["calls"] == 2


def test_a_broken_answer_goes_on_where_the_model_can_and_is_never_a_whole_one(caching: Stack):
    client = caching.client()
    question = "a long story [[tokens: 60]]"

    def story(model: str, wish: str = "on") -> tuple[str | None, str]:
        with client.with_options(max_retries=0).chat.completions.with_streaming_response.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            temperature=0,
            stream=True,
            extra_headers={"x-penstock-cache": wish},
        ) as response:
            cached = response.headers.get("x-penstock-cache")
            return cached, "".join(c.choices[0].delta.content or "" for c in response.parse() if c.choices)

    caching.anthropic_wire.faults(cut_rate=1.0)
    with pytest.raises(openai.APIError):
        story("claude-on")
    caching.anthropic_wire.faults(cut_rate=0.0)
    _, whole = story("claude-anew", "off")
    before = caching.anthropic_wire.stats()["output_tokens"]
    assert story("claude-anew", "read") == ("miss", whole), "who cannot go on knows nothing of the part"
    between = caching.anthropic_wire.stats()["output_tokens"]
    assert story("claude-on") == ("miss", whole)
    after = caching.anthropic_wire.stats()["output_tokens"]
    assert between - before == 60
    assert 0 < after - between <= 35
    assert story("claude-anew") == ("hit", whole)


def test_a_job_whose_stream_broke_tells_the_usage_of_both_its_calls(caching: Stack):
    body = {
        "model": "claude-on",
        "messages": [{"role": "user", "content": "of a job [[delay: 500]] [[tokens: 50]]"}],
        "temperature": 0,
    }
    caching.anthropic_wire.faults(cut_rate=1.0)
    made = caching.call("POST", "/v1/jobs", {**body, "stream": True})[1]

    def job() -> dict[str, Any]:
        found: dict[str, Any] = caching.call("GET", f"/v1/jobs/{made['id']}")[1]
        return found

    until(lambda: job()["attempts"])
    caching.anthropic_wire.faults(cut_rate=0.0)
    until(lambda: job()["finished_at"])
    found = job()
    *broken, last = found["attempts"]
    assert (found["status"], last["outcome"]) == ("succeeded", "succeeded")
    assert {attempt["outcome"] for attempt in broken} == {"failed"}
    assert len(found["output"]["text"].split()) == 50
    assert found["cost"] == pytest.approx(sum(attempt["cost"] for attempt in found["attempts"]))
    for name in ("input_tokens", "output_tokens"):
        assert found["usage"][name] == sum(attempt[name] for attempt in found["attempts"])
    assert last["output_tokens"] < 50


def repeated(distinct: int, times: int, text: str) -> list[dict[str, Any]]:
    return [
        chat_line(f"{n}-{again}", f"{text} {n} [[tokens: 5]] [[delay: 150]]", temperature=0)
        for again in range(times)
        for n in range(distinct)
    ]


def test_a_batch_pays_once_for_each_distinct_line(caching: Stack):
    client = caching.client()
    batch = wait(client, submit(client, jsonl(repeated(40, 5, "once"))).id)
    assert batch.request_counts
    assert (batch.request_counts.completed, batch.request_counts.failed) == (200, 0)
    answers: dict[str, set[str]] = {}
    for line in lines_of(client, batch.output_file_id):
        text = line["response"]["body"]["choices"][0]["message"]["content"]
        answers.setdefault(line["custom_id"].split("-")[0], set()).add(text)
    assert [len(texts) for texts in answers.values()] == [1] * 40
    asked = {prompt: row for prompt, row in requests(caching).items() if prompt.startswith("once ")}
    assert [row["calls"] for row in asked.values()] == [1] * 40


def test_with_a_worker_killed_only_what_it_was_asking_is_asked_again(caching: Stack, witness: str):
    client = caching.client()
    questions = {f"{n}-{again}": f"killed {n}" for again in range(3) for n in range(150)}
    lines = [chat_line(custom_id, text, model="seen", temperature=0) for custom_id, text in questions.items()]
    batch_id = submit(client, jsonl(lines)).id
    deadline = time.monotonic() + 60
    while len(calls_of(witness)) < 30:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    death = kill_busiest(cpu.snapshot(caching.process.pid).processes["bulk worker"], int(witness.rsplit(":", 1)[1]))
    batch = wait(client, batch_id, PATIENCE)
    assert batch.request_counts
    assert (batch.request_counts.completed, batch.request_counts.failed) == (450, 0)
    calls = calls_of(witness)
    assert {call["asked"] for call in calls} == set(questions.values())
    repeats = explain(calls, death)
    assert repeats.unexplained == []
    assert len(calls) == 150 + repeats.under_way + repeats.unkept
    answers: dict[str, set[str]] = {}
    for line in lines_of(client, batch.output_file_id):
        text = line["response"]["body"]["choices"][0]["message"]["content"]
        answers.setdefault(questions[line["custom_id"]], set()).add(text)
    assert [len(texts) for texts in answers.values()] == [1] * 150
