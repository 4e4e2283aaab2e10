"""Policies: which holds, in which order their checks run, and what each action does."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from penstock.completion import (
    CompletionRequest,
    CompletionResult,
    Document,
    Message,
    ResultPart,
    Text,
    ToolCall,
    Usage,
)
from penstock.configuration.policies import GuardConfig
from penstock.dialects import openai_chat
from penstock.errors import AnswerBlocked, ConfigError, GuardBlocked, GuardUnavailable
from penstock.guard import foreign
from penstock.guard.findings import Finding, Span, Verdict
from penstock.guard.masks import unmasked
from penstock.guard.pipeline import Guard, Screened


def make(checks: list[Any] | None = None, *, output: list[Any] | None = None, **bounds: Any) -> Guard:
    policy = {"bounds": bounds, "input": checks or [], "output": output or []}
    return Guard(GuardConfig.model_validate({"policies": {"p": policy}, "rules": [{"policy": "p"}]}))


def asking(text: str, **more: Any) -> CompletionRequest:
    return openai_chat.parse({"model": "m", "messages": [{"role": "user", "content": text}], **more})


async def screen(guard: Guard, request: CompletionRequest, findings: list[Finding] | None = None) -> Screened:
    kept = findings if findings is not None else []
    return await guard.screen(request, tenant="t", model=request.model, prompt="messages", on_finding=kept.append)


def sent(screened: Screened) -> str:
    assert isinstance(screened.request, CompletionRequest)
    return screened.request.messages[-1].text


def answering(text: str, kind: Any = "text", **more: Any) -> CompletionResult:
    part = ResultPart(kind, text, **more)
    return CompletionResult((part,), ((0, 0, 0), (0, len(text), 0)), ("stop",), Usage(1, 1))


async def test_the_first_rule_that_fits_decides():
    block = {"input": [{"check": "deny_list", "name": "words", "terms": ["secret"]}]}
    config = {
        "policies": {"block": block, "nothing": {}},
        "rules": [{"policy": "nothing", "tenants": ["free"]}, {"policy": "block", "models": ["m"]}],
    }
    guard = Guard(GuardConfig.model_validate(config))

    async def ask(tenant: str, model: str) -> Screened:
        request = asking("a secret")
        return await guard.screen(request, tenant=tenant, model=model, prompt="messages", on_finding=lambda _: None)

    assert sent(await ask("free", "m")) == "a secret"
    assert sent(await ask("other", "n")) == "a secret"
    with pytest.raises(GuardBlocked):
        await ask("other", "m")


def test_a_rule_names_a_policy_that_is_there():
    with pytest.raises(ValueError, match="no policy `q`"):
        GuardConfig.model_validate({"rules": [{"policy": "q"}]})


async def test_what_is_allowed_is_hidden_from_later_checks_only():
    own = {"check": "deny_list", "name": "own", "action": "allow", "terms": ["help@example.com"]}
    screened = await screen(make([own, {"check": "personal_data"}]), asking("help@example.com, not me@example.com"))
    assert sent(screened) == "help@example.com, not [EMAIL_1]"


async def test_a_flag_changes_nothing_and_is_told():
    findings: list[Finding] = []
    text = "me@example.com and you@example.com"
    screened = await screen(make([{"check": "personal_data", "action": "flag"}]), asking(text), findings)
    assert sent(screened) == text
    assert findings == [Finding("personal_data", "email", "flag", 2)]


async def test_places():
    """A check looks only where it is told to."""
    guard = make([{"check": "personal_data", "places": ["user"]}])
    body = {
        "model": "m",
        "messages": [{"role": "system", "content": "s@example.com"}, {"role": "user", "content": "u@example.com"}],
    }
    request = (await screen(guard, openai_chat.parse(body))).request
    assert isinstance(request, CompletionRequest)
    assert [message.text for message in request.messages] == ["s@example.com", "[EMAIL_1]"]


async def test_everything_a_provider_would_see_is_masked():
    mail = "me@example.com"
    tool = {"type": "function", "function": {"name": "f", "description": mail, "parameters": {"default": mail}}}
    messages = [
        {"role": "user", "content": mail},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c",
                    "type": "function",
                    "function": {"name": "f", "arguments": json.dumps({"a": [mail], "n": 4111111111111111})},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": mail},
    ]
    request = openai_chat.parse(
        {"model": "m", "messages": messages, "tools": [tool], "user": mail, "stop": [mail], "x_other": {"y": [mail]}}
    )
    document = Document(data=base64.b64encode(mail.encode()).decode(), media_type="text/plain")
    request = replace(request, messages=(*request.messages, Message("user", (document,))))
    seen = (await screen(make([{"check": "personal_data"}]), request)).request
    assert isinstance(seen, CompletionRequest)
    assert mail not in repr(seen)
    call = seen.messages[1].parts[-1]
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments) == {"a": ["[EMAIL_1]"], "n": "[CARD_1]"}
    last = seen.messages[-1].parts[0]
    assert isinstance(last, Document)
    assert base64.b64decode(last.data or "") == b"[EMAIL_1]"


async def test_names_do_not_change_when_a_turn_is_added():
    guard = make([{"check": "personal_data"}])
    first = asking("a@example.com and b@example.com")
    second = replace(first, messages=(*first.messages, Message("user", (Text("c@example.com b@example.com"),))))
    one, two = (await screen(guard, first)).request, (await screen(guard, second)).request
    assert isinstance(one, CompletionRequest)
    assert isinstance(two, CompletionRequest)
    assert two.messages[:1] == one.messages
    assert two.messages[1].text == "[EMAIL_3] [EMAIL_2]"


@pytest.mark.parametrize(
    ("bounds", "body", "param"),
    [
        ({"max_bytes": 10}, {"content": "ééééééé"}, "messages"),
        ({"max_messages": 0 + 1}, {"twice": True}, "messages"),
        ({"models": ["other"]}, {}, "model"),
        ({"denied_models": ["m"]}, {}, "model"),
        ({"denied_models": ["spare"]}, {"fallback": ["spare"]}, "model"),
        ({"denied_parameters": ["temperature"]}, {"temperature": 0}, "temperature"),
        ({"denied_parameters": ["own_field"]}, {"own_field": 1}, "own_field"),
        ({"max_output_tokens": 10}, {"max_tokens": 6, "n": 2}, "max_tokens"),
    ],
)
async def test_bounds(bounds: dict[str, Any], body: dict[str, Any], param: str):
    more = dict(body)
    request = asking(more.pop("content", "hello"), **{k: v for k, v in more.items() if k != "twice"})
    if body.get("twice"):
        request = replace(request, messages=request.messages * 2)
    with pytest.raises(GuardBlocked) as blocked:
        await screen(make(**bounds), request)
    assert blocked.value.param == param


async def test_an_answer_without_a_limit_gets_the_bound():
    request = (await screen(make(max_output_tokens=100), asking("hi", n=2))).request
    assert isinstance(request, CompletionRequest)
    assert request.max_tokens == 50


async def test_pictures_can_be_refused():
    image = [{"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}]
    request = openai_chat.parse({"model": "m", "messages": [{"role": "user", "content": image}]})
    await screen(make(), request)
    with pytest.raises(GuardBlocked):
        await screen(make(unreadable="block"), request)


async def test_an_answer_is_redacted_for_good_and_masks_are_put_back():
    guard = make([{"check": "personal_data"}], output=[{"check": "personal_data"}])
    screened = await screen(guard, asking("I am me@example.com"))
    assert screened.holds
    shown = await screened.answer(answering("[EMAIL_1], write to other@example.com"))
    assert unmasked(shown, screened.mask).text == "me@example.com, write to [REDACTED_EMAIL]"


async def test_a_redacted_answer_tells_nothing_by_its_log_probabilities():
    screened = await screen(make(output=[{"check": "personal_data"}]), asking("x"))
    text = "a@example.com"
    shown = await screened.answer(answering(text, logprobs=({"token": text},)))
    assert text not in repr(shown)
    assert [event.text for event in shown.events() if hasattr(event, "text")] == ["[REDACTED_EMAIL]"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [('{"n": 1}', None), ('{"n": "1"}', "`type` at `/n`"), ("{}", "required"), ("no", "not JSON")],
)
async def test_a_schema(text: str, wrong: str | None):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    screened = await screen(make(output=[{"check": "json_schema", "json_schema": schema}]), asking("x"))
    if wrong is None:
        assert (await screened.answer(answering(text))).text == text
        return
    with pytest.raises(AnswerBlocked, match=wrong):
        await screened.answer(answering(text))


async def test_a_schema_of_a_tenant_fetches_nothing():
    """One that refers to an address cannot be used, and so judges nothing; the answer passes."""
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"$ref": "http://127.0.0.1:1/x.json"}}}
    screened = await screen(make(output=[{"check": "json_schema"}]), asking("x", response_format=form))
    assert (await screened.answer(answering("{}"))).text == "{}"


class _Plugin:
    def __init__(self, verdict: Any) -> None:
        self._verdict = verdict

    def load(self) -> Any:
        return lambda _options: self

    def __call__(self, *_: Any) -> Any:
        if isinstance(self._verdict, Exception):
            raise self._verdict
        return self._verdict


def plugged(monkeypatch: pytest.MonkeyPatch, verdict: Any, on_failure: str = "closed") -> Guard:
    monkeypatch.setattr(foreign, "entry_points", lambda **_: [_Plugin(verdict)])
    return make([{"check": "plugin", "name": "mine", "on_failure": on_failure}])


async def test_a_plugin_redacts(monkeypatch: pytest.MonkeyPatch):
    verdict = Verdict("redact", spans=((0, Span(0, 5, "name")),))
    screened = await screen(plugged(monkeypatch, verdict), asking("Zofia is here"))
    assert sent(screened) == "[NAME_1] is here"
    assert screened.mask.show("Dear [NAME_1]") == "Dear Zofia"


async def test_a_plugin_blocks_with_its_reason(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(GuardBlocked, match="mine: not on Sundays"):
        await screen(plugged(monkeypatch, Verdict("block", "not on Sundays")), asking("x"))


@pytest.mark.parametrize(
    "verdict", [RuntimeError("broken"), "yes", Verdict("redact"), Verdict("redact", spans=((0, Span(0, 99, "name")),))]
)
async def test_no_verdict_fails_closed_or_open(monkeypatch: pytest.MonkeyPatch, verdict: Any):
    with pytest.raises(GuardUnavailable):
        await screen(plugged(monkeypatch, verdict), asking("x"))
    findings: list[Finding] = []
    assert sent(await screen(plugged(monkeypatch, verdict, "open"), asking("x"), findings)) == "x"
    assert findings == [Finding("mine", "no_verdict", "flag")]


def test_a_plugin_that_is_not_installed_is_an_error_at_the_start():
    with pytest.raises(ConfigError, match="no entry point `absent`"):
        make([{"check": "plugin", "name": "absent"}])
