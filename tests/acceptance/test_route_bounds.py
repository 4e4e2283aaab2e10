"""What a request's models must keep to: the place of its key's data, and what it may cost."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from acceptance.conftest import ADMIN_KEY, CONFIG, KEY, ROOT, Stack, running
from acceptance.test_anthropic_batches import one, results_of
from acceptance.test_anthropic_batches import wait as wait_for_messages
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait
from acceptance.test_engine import until

BOUND_KEY = "sk-bound-to-eu"
#: `here` speaks to one simulated provider and `there` to the other, which nothing that is bound may reach
CONFIG_TEXT = CONFIG.replace(
    "keys:\n",
    f"""
  here: {{{{provider: sim-openai, price: {{{{input: 2, output: 2}}}}, residency: eu, quality: 0.5}}}}
  beside: {{{{provider: sim-openai, upstream_model: b, price: {{{{input: 3, output: 3}}}}, residency: eu,
    quality: 0.6}}}}
  there: {{{{provider: sim-anthropic, price: {{{{input: 1, output: 1}}}}, residency: us, quality: 0.9}}}}
  dear: {{{{provider: sim-anthropic, price: {{{{input: 100, output: 100}}}}, quality: 1.0}}}}
  vectors: {{{{provider: sim-openai}}}}
routes:
  auto: {{{{strategy: cost, steps: [there, here, beside]}}}}
  best: {{{{strategy: quality, steps: [here, beside, dear]}}}}
  judged: {{{{strategy: escalation, steps: [here, there], accept: {{{{judge: {{{{model: there}}}}}}}}}}}}
  mirrored: {{{{strategy: escalation, steps: [here, there], accept: {{{{pattern: sure}}}}, shadow: 1.0}}}}
  abreast: {{{{strategy: escalation, steps: [here, there, beside], parallel: 2, accept: {{{{agreement: exact}}}}}}}}
  climbing: {{{{strategy: escalation, steps: [here, beside, dear], accept: {{{{pattern: never}}}}}}}}
keys:
  - {{{{key: {BOUND_KEY}, tenant: team-a, residency: eu}}}}
""",
)
HELLO = [{"role": "user", "content": "[[echo: hi]]"}]


@pytest.fixture(scope="module")
def bounded() -> Iterator[Stack]:
    with running({}, config_text=CONFIG_TEXT) as found:
        yield found


@pytest.fixture
def unreached(bounded: Stack) -> Iterator[Stack]:
    """Nothing of the test may have come to the provider elsewhere."""
    before = bounded.anthropic_wire.stats()["calls"]
    yield bounded
    assert bounded.anthropic_wire.stats()["calls"] == before


def job(stack: Stack, model: str, key: str, text: str = "[[echo: hi]]", **more: Any) -> dict[str, Any]:
    """A durable job, when it has ended."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    made = stack.call("POST", "/v1/jobs", body, key)[1]
    until(lambda: stack.call("GET", f"/v1/jobs/{made['id']}", key=key)[1]["finished_at"])
    return stack.call("GET", f"/v1/jobs/{made['id']}", key=key)[1]


def test_every_interface_keeps_the_data_of_a_key_where_it_must_stay(unreached: Stack):
    client, messages = unreached.client(BOUND_KEY), unreached.anthropic_client(BOUND_KEY)
    assert client.chat.completions.create(model="auto", messages=HELLO).choices[0].message.content == "hi"
    assert client.completions.create(model="auto", prompt="[[echo: hi]]").choices[0].text == "hi"
    assert client.responses.create(model="auto", input="[[echo: hi]]").output_text == "hi"
    stream = client.responses.create(model="auto", input="[[echo: hi]]", background=True, stream=True)
    assert "".join(event.delta for event in stream if event.type == "response.output_text.delta") == "hi"
    chunks = client.chat.completions.create(model="auto", messages=HELLO, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "hi"
    said = messages.messages.create(model="auto", max_tokens=9, messages=HELLO)
    assert said.content[0].text == "hi"  # type: ignore[union-attr]
    found = job(unreached, "auto", BOUND_KEY)
    assert (found["deployment"], found["routing"]["order"]) == ("here", ["here", "beside"])
    assert found["routing"]["excluded"] == {"there": "data must stay in eu, and it computes in us"}


def test_a_request_may_narrow_and_never_widen(unreached: Stack):
    """A model that is named, or stands in `fallback`, is refused like a route's."""
    client, messages = unreached.client(BOUND_KEY), unreached.anthropic_client(BOUND_KEY)
    for more, code, param in (
        ({"model": "auto", "extra_body": {"residency": "us"}}, "invalid_value", "residency"),
        ({"model": "there"}, "no_model_fits", "model"),
        ({"model": "fast"}, "no_model_fits", "model"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(messages=HELLO, **more)  # type: ignore[call-overload]
        assert (refused.value.code, refused.value.param) == (code, param)
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="vectors", input="hi")
    with pytest.raises(anthropic.BadRequestError, match="data must stay in eu"):
        messages.messages.create(model="there", max_tokens=9, messages=HELLO)
    with pytest.raises(anthropic.BadRequestError, match="'residency'"):
        messages.messages.create(model="auto", max_tokens=9, messages=HELLO, extra_body={"residency": "us"})
    assert client.chat.completions.create(model="auto", messages=HELLO, extra_body={"residency": "eu"}).choices
    found = job(unreached, "here", BOUND_KEY, "[[error: 503]]", fallback=["there", "beside"])
    assert {attempt["deployment"] for attempt in found["attempts"]} == {"here", "beside"}


def test_lines_of_batches_keep_to_the_place_of_their_key(unreached: Stack):
    client, messages = unreached.client(BOUND_KEY), unreached.anthropic_client(BOUND_KEY)
    lines = [chat_line(f"b-{n}", f"[[echo: {n}]]", "auto") for n in range(6)]
    lines[1]["body"]["residency"] = "us"
    lines[2]["body"]["model"] = "there"
    batch = wait(client, submit(client, jsonl(lines)).id)
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (4, 2)
    errors = {line["custom_id"]: line["response"]["body"]["error"] for line in lines_of(client, batch.error_file_id)}
    assert {name: error["param"] for name, error in errors.items()} == {"b-1": "residency", "b-2": "model"}
    made = messages.messages.batches.create(
        requests=[one("m-0", "[[echo: 0]]", "auto"), one("m-1", "[[echo: 1]]", "there")]
    )
    wait_for_messages(messages, made.id)
    assert {name: result.type for name, result in results_of(messages, made.id).items()} == {
        "m-0": "succeeded",
        "m-1": "errored",
    }


def test_nobody_else_is_asked_for_the_sake_of_an_answer(unreached: Stack):
    """Neither a judge, nor a later step, nor a second cheap model, nor a shadow."""
    judged = job(unreached, "judged", BOUND_KEY)
    assert [attempt["deployment"] for attempt in judged["attempts"]] == ["here"]
    assert judged["routing"]["excluded"]["there"].startswith("data must stay in eu")
    mirrored = job(unreached, "mirrored", BOUND_KEY, "[[echo: sure]]")
    assert mirrored["routing"]["steps"][0]["accepted"]
    unsure = job(unreached, "mirrored", BOUND_KEY)
    assert [attempt["deployment"] for attempt in unsure["attempts"]] == ["here"]
    abreast = job(unreached, "abreast", BOUND_KEY, "[[tokens: 9]]")
    assert {attempt["deployment"] for attempt in abreast["attempts"]} == {"here", "beside"}


def test_the_same_routes_go_everywhere_with_another_key(bounded: Stack):
    """Else the tests above could not fail."""
    assert job(bounded, "auto", KEY)["deployment"] == "there"
    judged = job(bounded, "judged", KEY, "[[echo: 90]]")
    assert [attempt["deployment"] for attempt in judged["attempts"]] == ["here", "there"]
    before = bounded.anthropic_wire.stats()["calls"]
    job(bounded, "mirrored", KEY, "[[echo: sure]]")
    until(lambda: bounded.anthropic_wire.stats()["calls"] > before)


def penstock(stack: Stack, *arguments: str, key: str) -> str:
    command = [sys.executable, "-m", "cli.main", *arguments, "--url", stack.url, "--key", key]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_key_is_made_with_its_place_and_keeps_it(unreached: Stack):
    made = penstock(unreached, "keys", "create", "--tenant", "abroad", "--residency", "eu", key=ADMIN_KEY).strip()
    assert job(unreached, "auto", made)["deployment"] == "here"
    told = penstock(unreached, "route", "--explain", "hi", "--model", "auto", key=made)
    assert "there" in told
    assert "data must stay in eu" in told
    (row,) = unreached.call("GET", "/admin/keys?tenant=abroad", key=ADMIN_KEY)[1]["data"]
    assert row["residency"] == "eu"
    new = unreached.call("POST", f"/admin/keys/{row['id']}/rotate", key=ADMIN_KEY)[1]
    assert new["residency"] == "eu"
    assert job(unreached, "auto", new["key"])["deployment"] == "here"
    for wrong in ("e u", "", 7, "x" * 65):
        status, answer = unreached.call("POST", "/admin/keys", {"residency": wrong}, key=ADMIN_KEY)
        assert (status, answer["error"]["param"]) == (400, "residency")


def test_a_request_is_served_within_what_it_may_cost(bounded: Stack):
    assert job(bounded, "best", KEY)["deployment"] == "dear"
    assert job(bounded, "best", KEY, max_cost=0.001)["deployment"] == "beside"
    client, messages = bounded.client(), bounded.anthropic_client()
    within = {"max_cost": 0.0007}
    before = bounded.openai_wire.stats()["calls"]
    assert client.chat.completions.create(model="best", messages=HELLO, extra_body=within).choices
    assert client.responses.create(model="best", input="[[echo: hi]]", extra_body=within).output_text == "hi"
    assert messages.messages.create(model="best", max_tokens=9, messages=HELLO, extra_body=within).content
    assert bounded.openai_wire.stats()["calls"] == before + 3


def test_where_nobody_serves_for_so_little_the_field_is_named(bounded: Stack):
    client, messages = bounded.client(), bounded.anthropic_client()
    for model in ("best", "here", "climbing"):
        with pytest.raises(openai.BadRequestError, match="'max_cost'") as refused:
            client.chat.completions.create(model=model, messages=HELLO, extra_body={"max_cost": 1e-9})
        assert (refused.value.code, refused.value.param) == ("no_model_fits", "max_cost")
        assert "it would cost $" in refused.value.message
    with pytest.raises(openai.BadRequestError) as unpriced:
        client.responses.create(model="unpriced", input="hi", extra_body={"max_cost": 5})
    assert unpriced.value.param == "max_cost"
    for body in ({"max_cost": 1e-9}, {"max_cost": "much"}, {"max_cost": 0}):
        with pytest.raises(anthropic.BadRequestError, match="'max_cost'"):
            messages.messages.create(model="here", max_tokens=9, messages=HELLO, extra_body=body)
    status, answer = bounded.call("POST", "/v1/jobs", {"model": "here", "input": "hi", "max_cost": -1})
    assert (status, answer["error"]["param"]) == (400, "max_cost")


def test_escalation_ends_at_what_the_request_may_cost(bounded: Stack):
    whole = job(bounded, "climbing", KEY)
    assert [step["deployment"] for step in whole["routing"]["steps"]] == ["here", "beside", "dear"]
    # `dear` would cost more; `beside` is the last that may be asked
    some = job(bounded, "climbing", KEY, max_cost=0.001)
    assert [step["deployment"] for step in some["routing"]["steps"]] == ["here", "beside"]
    assert "it would cost" in some["routing"]["excluded"]["dear"]
    # an answer longer than the 256 tokens that were expected: what was spent ends it
    spent = job(bounded, "climbing", KEY, "[[tokens: 500]]", max_cost=0.0009)
    assert spent["routing"]["excluded"].keys() == {"dear"}
    assert [step["deployment"] for step in spent["routing"]["steps"]] == ["here"], spent["routing"]
    assert "the budget allows no more" in spent["routing"]["steps"][0]["reason"]


def test_a_dry_run_knows_what_a_batch_may_cost(bounded: Stack):
    lines = [chat_line("a", "hi", "best", max_cost=0.001), chat_line("b", "hi", "best", max_cost=1e-9)]
    asked = {"endpoint": "/v1/chat/completions", "requests": [line["body"] for line in lines]}
    first, second = bounded.call("POST", "/v1/jobs/route", asked)[1]["data"]
    assert (first["deployment"], second["deployment"]) == ("beside", None)
    assert (second["error"]["param"], json.dumps(second).count("it would cost")) == ("max_cost", 3)
    client = bounded.client()
    batch = wait(client, submit(client, jsonl(lines)).id)
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
