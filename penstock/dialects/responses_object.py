"""A job as the response object, in any state (contract §8.2)."""

from typing import Any

from penstock.completion import CompletionResult, ResultPart, Usage
from penstock.completion.events import PartKind
from penstock.dialects.facts import JobFacts

#: what a caller includes to be given the seals of thoughts
SEALED = "reasoning.encrypted_content"
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter", "refusal": "content_filter"}
_PREFIXES: dict[PartKind, str] = {"text": "msg_", "refusal": "msg_", "reasoning": "rs_", "tool_call": "fc_"}
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SUMMARIES = ("auto", "concise", "detailed")


def status(facts: JobFacts) -> str:
    """The status of a response. It only moves forward: a job that went back to the backlog stays `in_progress`."""
    if facts.state == "succeeded":
        return "incomplete" if _cut_by(facts.result) else "completed"
    if facts.ended:
        return "cancelled" if facts.state == "cancelled" else "failed"
    return "in_progress" if facts.started or facts.state == "running" else "queued"


def render(facts: JobFacts) -> dict[str, Any]:
    """The `response` object; a stream's last event holds the same."""
    state, result = status(facts), facts.result
    reason = _cut_by(result) if state == "incomplete" else None
    whole = result is not None and bool(result.finish_reasons)
    return {
        "id": "resp_" + facts.id.hex,
        "object": "response",
        "created_at": facts.created_at,
        "status": state,
        "background": facts.background,
        "completed_at": facts.finished_at if state == "completed" else None,
        "error": _error(facts) if state == "failed" else None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": facts.model,
        "output": output(facts),
        **_echo(facts.body),
        "usage": usage(result.usage) if result is not None and whole else None,
    }


def usage(counts: Usage) -> dict[str, Any]:
    """The usage object."""
    return {
        "input_tokens": counts.input_tokens,
        "input_tokens_details": {
            "cached_tokens": counts.cached_tokens,
            "cache_write_tokens": counts.cache_write_tokens,
        },
        "output_tokens": counts.output_tokens,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning_tokens},
        "total_tokens": counts.total_tokens,
    }


def output(facts: JobFacts) -> list[dict[str, Any]]:
    """The items of an answer, one for each part.

    Where the token limit was hit, the part that grew last was cut. What is left of a job that did not succeed counts
    as incomplete altogether: nobody said that any of it was whole.
    """
    result = facts.result
    if result is None:
        return []
    cut: set[int] = set()
    if facts.state != "succeeded":
        cut = set(range(len(result.parts)))
    elif _cut_by(result) and result.parts:
        cut = {result.trace[-1][0] if result.trace else len(result.parts) - 1}
    return [
        item(facts, index, part, "incomplete" if index in cut else "completed")
        for index, part in enumerate(result.parts)
    ]


def item(facts: JobFacts, index: int, part: ResultPart, state: str) -> dict[str, Any]:
    """One output item; a new one, of status `in_progress`, is empty."""
    shown = {"id": _PREFIXES[part.kind] + f"{facts.id.hex}_{index}", "status": state}
    if part.kind == "tool_call":
        call_id = facts.call_id(index, part.id)
        call = {"call_id": call_id, "name": part.name or "", "arguments": part.text}
        # not the vendor's: a seal that some providers want back with the call
        return {"type": "function_call", **shown, **call, **_seal("signature", part)}
    contents = [] if state == "in_progress" else [content(part)]
    if part.kind == "reasoning":
        seal = _seal("encrypted_content", part) if SEALED in (facts.body.get("include") or ()) else {}
        return {"type": "reasoning", **shown, "summary": [], "content": contents, **seal}
    return {"type": "message", **shown, "role": "assistant", "content": contents}


def _seal(name: str, part: ResultPart) -> dict[str, Any]:
    return {name: part.signature} if part.signature is not None else {}


def content(part: ResultPart) -> dict[str, Any]:
    """The one content part of an item."""
    if part.kind == "reasoning":
        return {"type": "reasoning_text", "text": part.text}
    if part.kind == "refusal":
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text, "annotations": [], "logprobs": logprobs(part.logprobs)}


def logprobs(entries: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Log probabilities with `bytes`, which this dialect requires and providers leave out."""
    return [
        {**_with_bytes(entry), "top_logprobs": [_with_bytes(top) for top in entry.get("top_logprobs") or ()]}
        for entry in entries
    ]


def _with_bytes(entry: dict[str, Any]) -> dict[str, Any]:
    token = entry["token"]
    found = entry.get("bytes")
    known = list(token.encode("utf-8", "surrogatepass")) if found is None else found
    return {"token": token, "bytes": known, "logprob": entry["logprob"]}


def _cut_by(result: CompletionResult | None) -> str | None:
    """Why an answer ended before its own end."""
    reasons = result.finish_reasons if result is not None else ()
    return next((_INCOMPLETE[reason] for reason in reasons if reason in _INCOMPLETE), None)


def _error(facts: JobFacts) -> dict[str, Any]:
    """The error in the closed set of codes; a code of another kind is told in the message."""
    failure = facts.failure
    if failure["status"] == 429:
        code = "rate_limit_exceeded"
    else:
        code = "invalid_prompt" if failure["status"] < 500 else "server_error"
    own = failure["code"]
    message = failure["message"] or failure["type"]
    return {"code": code, "message": message if own is None or own == code else f"{message} ({own})"}


def _echo(body: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the request, with the defaults for what was left out."""
    return {
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "parallel_tool_calls": _or(body, "parallel_tool_calls", default=True),
        "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": _echo_reasoning(body.get("reasoning") or {}),
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": "default",
        "store": _or(body, "store", default=True),
        "temperature": _or(body, "temperature", default=1.0),
        "text": _echo_text(body.get("text") or {}),
        "tool_choice": _or(body, "tool_choice", default="auto"),
        "tools": [_echo_tool(tool) for tool in body.get("tools") or ()],
        "top_logprobs": _or(body, "top_logprobs", default=0),
        "top_p": _or(body, "top_p", default=1.0),
        "truncation": _or(body, "truncation", default="disabled"),
        "user": body.get("user"),
        "metadata": _or(body, "metadata", default={}),
    }


def _or(body: dict[str, Any], name: str, *, default: Any) -> Any:
    value = body.get(name)
    return default if value is None else value


def _echo_reasoning(reasoning: dict[str, Any]) -> dict[str, Any]:
    """It was ignored, so nobody checked it: only what clients can read is told again."""
    effort, summary = reasoning.get("effort"), reasoning.get("summary")
    return {"effort": effort if effort in _EFFORTS else None, "summary": summary if summary in _SUMMARIES else None}


def _echo_text(text: dict[str, Any]) -> dict[str, Any]:
    echo: dict[str, Any] = {"format": text.get("format") or {"type": "text"}}
    if text.get("verbosity") is not None:
        echo["verbosity"] = text["verbosity"]
    return echo


def _echo_tool(tool: dict[str, Any]) -> dict[str, Any]:
    echo = {name: tool.get(name) for name in ("name", "description", "parameters", "strict")}
    return {"type": "function", **echo}
