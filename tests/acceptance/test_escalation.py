"""Routes that ask the next model when an answer is not trusted, through the queue and for waiting clients."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from acceptance.conftest import CONFIG, Stack, running
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait
from acceptance.test_engine import job, until
from acceptance.test_jobs_api import events

#: `[[tokens: N]]` is answered alike by models of one upstream name, and differently by others
ROUTES = """
  twin: {{provider: sim-openai, upstream_model: fast, price: {{input: 1, output: 2}}}}
  other: {{provider: sim-openai, upstream_model: other, price: {{input: 1, output: 2}}}}
  gone: {{provider: broken}}
routes:
  hopeless: {{strategy: escalation, steps: [fast, gone], accept: {{pattern: "^sure"}}}}
  formal: {{strategy: escalation, steps: [fast, claude], accept: {{pattern: "^sure"}}}}
  agreed: {{strategy: escalation, steps: [fast, twin, claude], accept: {{agreement: exact}}}}
  thrifty: {{strategy: escalation, steps: [fast, claude], accept: {{pattern: never}}, max_cost: 0.000001}}
  judged: {{strategy: escalation, steps: [fast, claude], accept: {{judge: {{model: twin, min: 0.7}}}}}}
  abreast: {{strategy: escalation, steps: [fast, other, claude], accept: {{agreement: exact}}, parallel: 2}}
  shown: {{strategy: escalation, steps: [fast, claude], accept: {{pattern: "^sure"}}, stream: generations}}
  alike:
    strategy: escalation
    steps: [fast, other, claude]
    accept: {{agreement: embedding, similarity: {{model: twin}}}}
  tested: {{strategy: escalation, steps: [fast, claude], accept: {{hook: {{url: "{hook}"}}}}}}
  probable: {{strategy: escalation, steps: [fast, claude], accept: {{min_probability: 0.999999}}}}
keys:
"""

#: answers 404 whatever it is asked
BROKEN = "  broken: {{wire_format: openai, base_url: {openai}/nothing}}\n"


class Runner(BaseHTTPRequestHandler):
    """Somebody's service that runs the code of answers against tests."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(told)
        body = json.dumps({"score": float("right" in told["answer"]), "reason": "1 test"}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def routed() -> Iterator[Stack]:
    hook = ThreadingHTTPServer(("127.0.0.1", 0), Runner)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    routes = ROUTES.replace("{hook}", f"http://127.0.0.1:{hook.server_port}/")
    config = CONFIG.replace("keys:\n", routes).replace("\nmodels:\n", f"\n{BROKEN}models:\n")
    with running({}, workers=1, config_text=config) as found:
        yield found
    hook.shutdown()
    hook.server_close()


def steps(found: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(step["deployment"], step["accepted"]) for step in found["routing"]["steps"]]


def ask(stack: Stack, model: str, text: str, **more: Any) -> dict[str, Any]:
    """A durable job, when it has ended."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    made = stack.call("POST", "/v1/jobs", body)[1]
    until(lambda: stack.call("GET", f"/v1/jobs/{made['id']}")[1]["finished_at"])
    return stack.call("GET", f"/v1/jobs/{made['id']}")[1]


def test_an_answer_that_passes_is_the_last(routed: Stack):
    found = ask(routed, "formal", "[[echo: sure enough]]")
    assert (found["status"], found["deployment"], found["output"]["text"]) == ("succeeded", "fast", "sure enough")
    assert steps(found) == [("fast", True)]
    assert found["cost"] == found["routing"]["steps"][0]["cost"] > 0


def test_one_that_does_not_goes_on_and_all_of_it_is_paid(routed: Stack):
    found = ask(routed, "formal", "[[echo: perhaps]]")
    assert (found["deployment"], found["routing"]["answered_by"]) == ("claude", "claude")
    assert steps(found) == [("fast", False), ("claude", True)]
    assert found["routing"]["steps"][0]["reason"] == "not of the pattern"
    assert found["cost"] == pytest.approx(sum(step["cost"] for step in found["routing"]["steps"]))
    assert [attempt["deployment"] for attempt in found["attempts"]] == ["fast", "claude"]


def test_two_models_that_agree_spare_the_third(routed: Stack):
    found = ask(routed, "agreed", "[[echo: 42]]")
    assert steps(found) == [("fast", False), ("twin", True)]
    assert found["routing"]["steps"][1]["confidence"] == 1


def test_the_budget_of_a_route_ends_it(routed: Stack):
    found = ask(routed, "thrifty", "[[echo: x]]")
    assert steps(found) == [("fast", True)]
    assert "budget" in found["routing"]["steps"][0]["reason"]


def test_improbable_tokens_go_on_and_are_not_shown_unasked(routed: Stack):
    found = ask(routed, "probable", "[[echo: some words here]]")
    assert steps(found) == [("fast", False), ("claude", True)]
    assert 0 < found["routing"]["steps"][0]["confidence"] < 1


def test_a_judge_is_one_more_call_of_the_same_job(routed: Stack):
    """The simulated judge repeats what it finds in the question: its grade."""
    for grade, by in ((85, "fast"), (40, "claude")):
        found = ask(routed, "judged", f"[[echo: {grade}]]")
        assert found["deployment"] == by
        first = found["routing"]["steps"][0]
        assert (first["signals"], f"twin grades it {grade / 100:.2f}" in first["reason"]) == (
            {"judge": grade / 100},
            True,
        )
        called = ["fast", "twin"] + (["claude"] if by == "claude" else [])
        assert [attempt["deployment"] for attempt in found["attempts"]] == called
        assert first["cost"] == pytest.approx(sum(attempt["cost"] for attempt in found["attempts"][:2]))
        assert found["cost"] == pytest.approx(sum(step["cost"] for step in found["routing"]["steps"]))


def test_answers_that_mean_the_same_agree(routed: Stack):
    found = ask(routed, "alike", "[[echo: the sky is blue]]")
    assert steps(found) == [("fast", False), ("other", True)]
    assert [attempt["deployment"] for attempt in found["attempts"]] == ["fast", "other", "twin"]
    second = found["routing"]["steps"][1]
    assert second["cost"] == pytest.approx(sum(attempt["cost"] for attempt in found["attempts"][1:]))


def test_a_check_of_ones_own_decides_in_a_batch_too(routed: Stack):
    client = routed.client()
    lines = [chat_line(name, f"[[echo: {name}]]", "tested") for name in ("right-1", "wrong-1")]
    batch = wait(client, submit(client, jsonl(lines)).id)
    assert (batch.status, batch.request_counts.completed) == ("completed", 2)
    asked = {told["custom_id"]: (told["answer"], told["model"]) for told in Runner.asked}
    assert asked == {"right-1": ("right-1", "fast"), "wrong-1": ("wrong-1", "fast")}
    found = ask(routed, "tested", "[[echo: wrong]]")
    assert steps(found) == [("fast", False), ("claude", True)]
    assert found["routing"]["steps"][0]["reason"] == "the hook gives it 0.00 (1 test), below 1"


def test_two_cheap_models_are_asked_at_once(routed: Stack):
    found = ask(routed, "abreast", "[[echo: 42]]")
    assert steps(found) == [("fast", True), ("other", False)]
    assert found["routing"]["answered_by"] == "fast"
    assert {attempt["deployment"] for attempt in found["attempts"]} == {"fast", "other"}
    assert found["cost"] == pytest.approx(sum(step["cost"] for step in found["routing"]["steps"]))
    found = ask(routed, "abreast", "[[tokens: 12]]")
    assert steps(found) == [("fast", False), ("other", False), ("claude", True)]
    assert sorted(attempt["deployment"] for attempt in found["attempts"]) == ["claude", "fast", "other"]


def test_a_batch_asks_two_at_once_line_by_line(routed: Stack):
    client = routed.client()
    lines = [chat_line(f"p-{n}", f"[[echo: {n}]]" if n % 3 else f"[[tokens: {n + 5}]]", "abreast") for n in range(60)]
    before = routed.anthropic_wire.stats()["succeeded"]
    batch = wait(client, submit(client, jsonl(lines)).id)
    assert (batch.status, batch.request_counts.completed) == ("completed", 60)
    assert routed.anthropic_wire.stats()["succeeded"] - before == 20


def test_a_stream_may_show_an_answer_before_it_is_accepted(routed: Stack):
    text = "no, " + "word " * 40
    body = {"model": "shown", "messages": [{"role": "user", "content": f"[[echo: {text}]]"}], "stream": True}
    made = routed.call("POST", "/v1/jobs", body)[1]
    seen = list(events(routed, made["id"]))
    kinds = [event["event"] for event in seen]
    assert kinds.count("reset") <= 1  # none where nobody read before the second answer began
    after = kinds.index("reset") if "reset" in kinds else 0
    told = [json.loads(event["data"])["text"] for event in seen[after:] if event["event"] == "delta"]
    final = json.loads(seen[-1]["data"])
    assert "".join(told) == final["output"]["text"]
    assert final["routing"]["answered_by"] == "claude"
    again = list(events(routed, made["id"]))
    assert [event["event"] for event in again].count("reset") == 0
    # a vendor's stream cannot take back what it told
    stream = routed.client().responses.create(model="shown", input=f"[[echo: {text}]]", background=True, stream=True)
    assert "".join(event.delta for event in stream if event.type == "response.output_text.delta") == text


def test_a_batch_escalates_line_by_line(routed: Stack):
    client = routed.client()
    lines = [chat_line(f"e-{n}", f"[[echo: {'sure' if n % 3 else 'no'} {n}]]", "formal") for n in range(120)]
    before = routed.anthropic_wire.stats()["succeeded"]
    batch = wait(client, submit(client, jsonl(lines)).id)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    answers = [
        line["response"]["body"]["choices"][0]["message"]["content"] for line in lines_of(client, batch.output_file_id)
    ]
    assert answers == [f"{'sure' if n % 3 else 'no'} {n}" for n in range(120)]
    assert routed.anthropic_wire.stats()["succeeded"] - before == 40


def test_a_stream_shows_accepted_text_only(routed: Stack):
    client = routed.client()
    for text, by in (("sure, word by word", "fast"), ("no, word by word", "claude")):
        stream = client.responses.create(model="formal", input=f"[[echo: {text}]]", background=True, stream=True)
        seen = list(stream)
        assert [event.type for event in seen].count("response.output_item.added") == 1
        assert "".join(event.delta for event in seen if event.type == "response.output_text.delta") == text
        assert job(routed, seen[0].response.id)["deployment"] == by
        chat = client.chat.completions.create(
            model="formal", messages=[{"role": "user", "content": f"[[echo: {text}]]"}], stream=True
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chat if chunk.choices) == text


def test_the_stream_of_a_job_ends_with_what_was_decided(routed: Stack):
    body = {"model": "formal", "messages": [{"role": "user", "content": "[[echo: no]]"}], "stream": True}
    made = routed.call("POST", "/v1/jobs", body)[1]
    seen = list(events(routed, made["id"]))
    assert json.loads(seen[-1]["data"])["routing"]["answered_by"] == "claude"
    assert [event["event"] for event in seen].count("reset") == 0


def test_the_answer_stands_when_the_next_model_fails(routed: Stack):
    found = ask(routed, "hopeless", "[[echo: no]]")
    assert (found["status"], found["output"]["text"], found["error"]) == ("succeeded", "no", None)
    assert found["routing"]["answered_by"] == "fast"
    assert steps(found) == [("fast", False), ("gone", False)]
