"""The guard through the whole of Penstock: what providers see, what tenants get, what is left of either."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anthropic
import openai
import psycopg
import pytest
from acceptance.conftest import ADMIN_KEY, CONFIG, OTHER_KEY, Stack, running
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait
from ports import free_port

from penstock.embedded.urls import find_running

GUARD = """
guard:
  policies:
    careful:
      bounds: {{max_input_tokens: 900, max_output_tokens: 500, denied_parameters: [logit_bias]}}
      input:
        - {{check: secrets}}
        - {{check: deny_list, name: projects, terms: [Blue Heron]}}
        - {{check: personal_data, phone_regions: [DE]}}
        - {{check: prompt_injection, action: flag}}
    closed:
      output:
        - {{check: deny_list, name: unsaid, terms: [forbidden], action: block}}
        - {{check: deny_list, name: hidden, terms: [embarrassing], action: redact}}
        - {{check: json_schema}}
    asking:
      input:
        - {{check: hook, name: house_rules, url: "http://127.0.0.1:HOOK_PORT/check", on_failure: closed}}
  rules:
    - {{policy: asking, models: [thinker]}}
    - {{policy: careful, tenants: [team-a]}}
    - {{policy: closed, tenants: [team-b]}}
"""
HOOK_PORT = free_port()
MAIL, IBAN, PHONE = "Zofia.Nowak@example.com", "DE89 3704 0044 0532 0130 00", "+49 30 901820"
#: in two pieces, so that no scanner takes this file for a leak
SECRET = "AKIA" + "QYLPMN5HHHFPZAM2"
LETTER = f"[[echo: Dear {MAIL}, your account {IBAN} and your phone {PHONE} are noted. Bye, {MAIL}!]]"
SAID = LETTER.removeprefix("[[echo: ").removesuffix("]]")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Stack]:
    with running({}, workers=1, config_text=CONFIG + GUARD.replace("HOOK_PORT", str(HOOK_PORT))) as found:
        yield found


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def asked(stack: Stack) -> str:
    """The beginnings of all prompts that the providers were sent."""
    prompts = [json.dumps(stack.mirror.asked)]
    for simulator in (stack.openai_wire, stack.anthropic_wire):
        with urllib.request.urlopen(f"{simulator.url}/_sim/stats?detail=1", timeout=10) as answer:
            prompts += [row["prompt"] for row in json.load(answer)["requests"].values()]
    return "\n".join(prompts)


@pytest.mark.parametrize("model", ["fast", "claude"])
@pytest.mark.parametrize("stream", [False, True])
def test_masked_for_the_provider_and_restored_for_the_tenant(guarded: Stack, model: str, stream: bool):
    """The simulators cut a placeholder over several chunks: their tokens are a few characters long."""
    client = guarded.client()
    if stream:
        chunks = list(client.chat.completions.create(model=model, messages=user(LETTER), stream=True))
        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert len(pieces) > 5
        assert "".join(pieces) == SAID
    else:
        answer = client.chat.completions.create(model=model, messages=user(LETTER))
        assert answer.choices[0].message.content == SAID
    seen = asked(guarded)
    assert "Dear [EMAIL_1], your account [IBAN_1]" in seen
    assert not any(hidden in seen for hidden in ("Zofia", "3704", "901820"))


def test_anthropic_streams_restored(guarded: Stack):
    client = guarded.anthropic_client()
    with client.messages.stream(model="claude", max_tokens=300, messages=user(LETTER)) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == SAID == final.content[0].text
    assert "Zofia" not in asked(guarded)


def test_a_tool_call_gets_what_was_hidden_as_json(guarded: Stack):
    message = f'[[tool: f {{"to": "{MAIL}", "account": "{IBAN}"}}]]'
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    with guarded.client().chat.completions.stream(model="fast", messages=user(message), tools=[tool]) as stream:
        final = stream.get_final_completion()
    call = (final.choices[0].message.tool_calls or [])[0]
    assert json.loads(call.function.arguments) == {"to": MAIL, "account": IBAN}
    assert "Zofia" not in asked(guarded)


def test_a_history_is_masked_under_the_same_names(guarded: Stack):
    history: list[Any] = [*user(f"I am {MAIL}."), {"role": "assistant", "content": f"Hello {MAIL}"}]
    guarded.client().chat.completions.create(model="mirror", messages=[*history, *user(f"Call {PHONE}, not {MAIL}")])
    told = guarded.mirror.told("Call ")["messages"]
    assert [turn["content"] for turn in told] == ["I am [EMAIL_1].", "Hello [EMAIL_1]", "Call [PHONE_1], not [EMAIL_1]"]


def test_a_secret_is_refused_in_both_dialects(guarded: Stack):
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as refused:
            guarded.client().chat.completions.create(model="fast", messages=user(f"use {SECRET}"), stream=stream)
        assert refused.value.code == "guard_blocked"
        assert refused.value.param == "messages"
        assert "aws_access_key" in refused.value.message
        assert SECRET not in refused.value.message
    with pytest.raises(anthropic.BadRequestError) as told:
        guarded.anthropic_client().messages.create(model="claude", max_tokens=9, messages=user(f"use {SECRET}"))
    assert told.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]
    assert "aws_access_key" in told.value.body["error"]["message"]  # type: ignore[index]
    assert SECRET not in asked(guarded)


@pytest.mark.parametrize(
    ("options", "param", "reason"),
    [
        ({"logit_bias": {"1": 1}}, "logit_bias", "logit_bias"),
        ({"max_tokens": 900}, "max_tokens", "900 output tokens"),
        ({"messages": user("word " * 1000)}, "messages", "input tokens"),
        ({"messages": user("about blue heron")}, "messages", "projects"),
    ],
)
def test_what_else_is_refused(guarded: Stack, options: dict[str, Any], param: str, reason: str):
    with pytest.raises(openai.BadRequestError, match=reason) as refused:
        guarded.client().chat.completions.create(**({"model": "fast", "messages": user("hi")} | options))
    assert refused.value.param == param


def test_a_background_response_ends_failed(guarded: Stack):
    client = guarded.client()
    made = client.responses.create(model="fast", input=f"use {SECRET}", background=True)
    while made.status in {"queued", "in_progress"}:
        made = client.responses.retrieve(made.id)
    assert made.status == "failed"
    assert made.error
    assert "aws_access_key" in made.error.message


def test_a_background_response_is_restored_on_every_read(guarded: Stack):
    client = guarded.client()
    live = list(client.responses.create(model="fast", input=LETTER, background=True, stream=True))
    assert "".join(event.delta for event in live if event.type == "response.output_text.delta") == SAID
    again = list(client.responses.retrieve(live[0].response.id, stream=True))  # type: ignore[union-attr]
    assert [event.to_json() for event in again] == [event.to_json() for event in live]
    assert client.responses.retrieve(live[0].response.id).output_text == SAID  # type: ignore[union-attr]


def test_a_blocked_line_fails_alone(guarded: Stack):
    client = guarded.client()
    lines = [chat_line("a", "[[echo: one]]"), chat_line("b", f"use {SECRET}"), chat_line("c", LETTER)]
    batch = wait(client, submit(client, jsonl(lines)).id)
    assert batch.status == "completed"
    assert batch.request_counts
    assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 1)
    good = {line["custom_id"]: line for line in lines_of(client, batch.output_file_id)}
    assert good["c"]["response"]["body"]["choices"][0]["message"]["content"] == SAID
    bad = lines_of(client, batch.error_file_id)
    assert [(line["custom_id"], line["response"]["status_code"]) for line in bad] == [("b", 400)]
    assert bad[0]["response"]["body"]["error"]["code"] == "guard_blocked"


def test_a_blocked_request_of_a_message_batch_errs_alone(guarded: Stack):
    client = guarded.anthropic_client()
    params = {"model": "claude", "max_tokens": 200}
    batch = client.messages.batches.create(
        requests=[  # type: ignore[list-item]
            {"custom_id": "good", "params": {**params, "messages": user(LETTER)}},
            {"custom_id": "bad", "params": {**params, "messages": user(f"use {SECRET}")}},
        ]
    )
    while batch.processing_status != "ended":
        batch = client.messages.batches.retrieve(batch.id)
    results: dict[str, Any] = {row.custom_id: row.result for row in client.messages.batches.results(batch.id)}
    assert results["good"].message.content[0].text == SAID
    assert results["bad"].error.error.type == "invalid_request_error"


def test_embeddings_are_masked(guarded: Stack):
    guarded.client().embeddings.create(model="fast", input=[f"write to {MAIL}"])
    assert "Zofia" not in asked(guarded)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_checked_before_it_is_shown(guarded: Stack, stream: bool):
    client = guarded.client(OTHER_KEY)
    with pytest.raises(openai.UnprocessableEntityError, match="unsaid"):
        client.chat.completions.create(model="fast", messages=user("[[echo: this is forbidden here]]"), stream=stream)
    asked_for: dict[str, Any] = {"model": "fast", "messages": user("[[echo: an embarrassing word]]")}
    if stream:
        chunks = list(client.chat.completions.create(**asked_for, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    else:
        text = client.chat.completions.create(**asked_for).choices[0].message.content or ""
    assert text == "an [REDACTED_HIDDEN] word"


def test_an_answer_must_be_of_its_schema(guarded: Stack):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    form: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    client = guarded.client(OTHER_KEY)
    good = client.chat.completions.create(model="fast", messages=user('[[echo: {"n": 3}]]'), response_format=form)
    assert good.choices[0].message.content == '{"n": 3}'
    with pytest.raises(openai.UnprocessableEntityError, match="json_schema"):
        client.chat.completions.create(model="fast", messages=user('[[echo: {"n": "x"}]]'), response_format=form)


def test_a_check_that_is_away_stops_a_waiting_client_and_lets_queued_work_wait(guarded: Stack):
    client = guarded.client()
    with pytest.raises(openai.InternalServerError, match="house_rules") as refused:
        client.chat.completions.create(model="thinker", messages=user("hi"))
    assert (refused.value.status_code, refused.value.code) == (503, "guard_unavailable")
    batch_id = submit(
        client, jsonl([chat_line("a", "[[echo: waited]]", "thinker"), chat_line("b", "no", "thinker")])
    ).id
    time.sleep(3)
    assert client.batches.retrieve(batch_id).status == "in_progress"

    class Judge(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            verdict = (
                {"action": "block", "reason": "too short"}
                if asked["texts"][-1]["text"] == "no"
                else {"action": "allow"}
            )
            body = json.dumps(verdict).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", HOOK_PORT), Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        batch = wait(client, batch_id)
    finally:
        server.shutdown()
        server.server_close()
    (good,), (bad,) = lines_of(client, batch.output_file_id), lines_of(client, batch.error_file_id)
    assert good["response"]["body"]["choices"][0]["message"]["content"] == "waited"
    assert "house_rules: too short" in bad["response"]["body"]["error"]["message"]


def test_the_stored_request_is_the_tenants_own_and_nothing_else_keeps_what_was_masked(guarded: Stack):
    """Attempts, logs and metrics know kinds and counts only."""
    client = guarded.client()
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="fast", messages=user(f"for {MAIL} [[error: 400]]"))
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="fast", messages=user(f"use {SECRET}"))
    job = client.post("/jobs", body={"model": "fast", "input": LETTER}, cast_to=dict[str, Any])
    while job["status"] not in {"succeeded", "failed"}:
        job = client.get(f"/jobs/{job['id']}", cast_to=dict[str, Any])
    assert job["output"]["text"] == SAID
    urls = find_running(guarded.data)
    assert urls
    with psycopg.connect(urls.database) as connection:
        attempts = connection.execute("SELECT to_jsonb(attempts)::text FROM attempts").fetchall()
    assert attempts
    counted = 'penstock_guard_findings_total{action="redact",check="personal_data",kind="email"}'
    deadline = time.monotonic() + 60
    while counted not in (metrics := _metrics(guarded)) and time.monotonic() < deadline:
        time.sleep(0.1)  # workers write their counts down every now and then
    assert counted in metrics
    logs = [file.read_text(errors="replace") for file in (guarded.data / "logs").iterdir()]
    assert any("check=secrets" in log for log in logs), "what was blocked is told, by its kind"
    for kept in (str(attempts), metrics, *logs):
        assert not any(hidden in kept for hidden in ("Zofia", "3704 0044", "901820", SECRET))


def _metrics(stack: Stack) -> str:
    request = urllib.request.Request(f"{stack.url}/metrics", headers={"authorization": f"Bearer {ADMIN_KEY}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.read().decode())
