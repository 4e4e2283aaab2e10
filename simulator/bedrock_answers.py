"""What Bedrock's Converse answers, plain and streamed. A model that was told to think thinks first, and seals it."""

import time
from hashlib import blake2b
from typing import Any

import orjson

from simulator import aws_events, fields, tokens
from simulator.answers import Answer, answer_choices, prose
from simulator.prompt_cache import PromptCache
from simulator.question import Question
from simulator.refusal import RefusalError
from simulator.vendor import Call, Frame, Reply

_STOP_REASON = {"stop": "end_turn", "length": "max_tokens", "stop_sequence": "stop_sequence", "tool_calls": "tool_use"}
_THOUGHT_TOKENS = 6


def _seal(thought: str) -> str:
    return blake2b(thought.encode("utf-8", "surrogatepass"), digest_size=12, key=b"bedrock").hexdigest()


def is_sealed(thought: dict[str, Any]) -> bool:
    """Whether a thought that comes back was thought here, and comes back unchanged."""
    text = thought.get("reasoningText")
    if not isinstance(text, dict):
        return isinstance(thought.get("redactedContent"), str)
    return isinstance(text.get("text"), str) and text.get("signature") == _seal(text["text"])


def _thought(question: Question) -> dict[str, Any] | None:
    """What is thought before the answer; without its words where the request wants them left out."""
    told = (fields.mapping(question.body, "additionalModelRequestFields") or {}).get("thinking")
    if not isinstance(told, dict) or told.get("type") not in {"enabled", "adaptive"}:
        return None
    text = "" if told.get("display") == "omitted" else prose(f"{question.fingerprint}:thought", _THOUGHT_TOKENS)
    return {"reasoningContent": {"reasoningText": {"text": text, "signature": _seal(text)}}}


def reply(question: Question, call: Call, cache: PromptCache | None = None) -> Reply:
    """The vendor's answer. Without a `cache`, nothing is kept from call to call."""
    if cache is not None:
        question.cache_use = cache.use(question.prefixes, call.began, time.perf_counter())
    answer = answer_choices(question, call.options.answer_tokens, call.options.seed)[0]
    thought = _thought(question)
    content = [*([thought] if thought else []), *_content(call, answer)]
    spent = answer.tokens + (_THOUGHT_TOKENS if thought else 0)
    end = {"stopReason": _STOP_REASON[answer.finish], **_asked_for(question, answer)}
    counts = {"usage": _usage(question, spent), "metrics": {"latencyMs": 1}}
    if question.stream:
        return Reply(spent, frames=_frames(content, end, counts))
    message = {"role": "assistant", "content": content}
    return Reply(spent, body=orjson.dumps({"output": {"message": message}, **end, **counts}))


def _content(call: Call, answer: Answer) -> list[dict[str, Any]]:
    if not answer.tools:
        return [{"text": answer.text}] if answer.text else []
    return [
        {
            "toolUse": {
                "toolUseId": f"tooluse_{call.id}{number}",
                "name": tool.name,
                "input": orjson.loads(tool.arguments),
            }
        }
        for number, tool in enumerate(answer.tools)
    ]


def _usage(question: Question, spent: int) -> dict[str, Any]:
    use = question.cache_use
    return {
        "inputTokens": max(0, question.input_tokens - use.read - use.written),
        "outputTokens": spent,
        "totalTokens": question.input_tokens + spent,
        "cacheReadInputTokens": use.read,
        "cacheWriteInputTokens": use.written,
    }


def _asked_for(question: Question, answer: Answer) -> dict[str, Any]:
    """The model's own fields that the request points to; a pointer to anything else is passed over."""
    paths = fields.strings(question.body, "additionalModelResponseFieldPaths", 10)
    if any(not path.startswith("/") for path in paths):
        raise RefusalError(400, "The JSON Pointer is not valid.")
    path = "/delta/stop_sequence" if question.stream else "/stop_sequence"
    if path not in paths:
        return {}
    said: dict[str, Any] = {"stop_sequence": answer.stop_sequence}
    return {"additionalModelResponseFields": {"delta": said} if question.stream else said}


def _frames(content: list[dict[str, Any]], end: dict[str, Any], counts: dict[str, Any]) -> list[Frame]:
    frames = [Frame(aws_events.event("messageStart", {"role": "assistant"}))]

    def add(name: str, index: int, tokens_in_it: int = 0, **more: Any) -> None:
        frames.append(Frame(aws_events.event(name, {"contentBlockIndex": index} | more), tokens_in_it))

    for index, block in enumerate(content):
        if "toolUse" in block:
            # Only calls of tools are announced.
            start = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            add("contentBlockStart", index, start={"toolUse": start})
        for delta in _deltas(block):
            add("contentBlockDelta", index, 1, delta=delta)
        add("contentBlockStop", index)
    frames.append(Frame(aws_events.event("messageStop", end)))
    frames.append(Frame(aws_events.event("metadata", counts)))
    return frames


def _deltas(block: dict[str, Any]) -> list[dict[str, Any]]:
    if "toolUse" in block:
        arguments = orjson.dumps(block["toolUse"]["input"]).decode()
        return [{"toolUse": {"input": piece}} for piece in tokens.pieces(arguments)]
    if "text" in block:
        return [{"text": piece} for piece in tokens.pieces(block["text"])]
    thought = block["reasoningContent"]["reasoningText"]
    grown = [{"reasoningContent": {"text": piece}} for piece in tokens.pieces(thought["text"])]
    return [*grown, {"reasoningContent": {"signature": thought["signature"]}}]
