"""POST /v1/messages, plain and streamed, and POST /v1/messages/count_tokens.

A model that was told to think thinks first, and seals it; a thought that comes back must be sealed as it was. A
request that ends with the beginning of the answer gets the rest of it ("Prefill Claude's response", the vendor's
documentation).
"""

import time
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson

from simulator import fields, tokens
from simulator.answers import Answer, answer_choices, prose
from simulator.prompt_cache import PromptCache, prefixes_of
from simulator.question import Question, Transcript
from simulator.refusal import RefusalError
from simulator.streaming import sse
from simulator.vendor import Call, Frame, Reply

_STOP_REASON = {"stop": "end_turn", "length": "max_tokens", "stop_sequence": "stop_sequence", "tool_calls": "tool_use"}
_MEDIA_BLOCKS = {"image", "document"}
_THOUGHT_TOKENS = 6
_MEDIA_TOKENS = 85
#: from this version on the vendor refuses sampling parameters
_NO_SAMPLING_FROM = "2026-10-21"


def read(data: bytes, headers: Mapping[str, str]) -> Question:
    """Read and check a request.

    Raises:
        RefusalError: 400 where the vendor would refuse it.
    """
    body = fields.body_of(data)
    limit = fields.integer(body, "max_tokens", 1)
    if limit is None:
        raise fields.missing("max_tokens")
    return _read(body, headers, limit)


def read_count(data: bytes, headers: Mapping[str, str]) -> Question:
    """Read a request to count tokens: as a message, without `max_tokens`."""
    return _read(fields.body_of(data), headers, None)


def _read(body: dict[str, Any], headers: Mapping[str, str], limit: int | None) -> Question:
    version = headers.get("anthropic-version")
    if not version:
        raise RefusalError(400, "anthropic-version: header is required")
    model = fields.string(body, "model")
    _check_sampling(body, version)
    transcript = Transcript()
    if body.get("system") is not None:
        transcript.add("system", _blocks(body["system"], "system", transcript)[0])
    after_tool = False
    for index, message in enumerate(fields.objects(body, "messages", required=True)):
        where = f"messages.{index}"
        role = message.get("role")
        if role not in {"user", "assistant", "system"}:
            raise fields.wrong(f"{where}.role", "'user' or 'assistant'")
        text, after_tool = _blocks(message.get("content"), f"{where}.content", transcript)
        transcript.add(role, text)
    if body.get("tools"):
        transcript.weigh(tokens.count(orjson.dumps(body["tools"]).decode()))
    metadata = fields.mapping(body, "metadata") or {}
    begun, asked = "", transcript
    if transcript.last_role == "assistant":
        begun, asked = transcript.last, transcript.without_last()
        if begun != begun.rstrip():
            raise RefusalError(400, "messages: final assistant content cannot end with trailing whitespace")
    question = Question(
        model=model,
        fingerprint=asked.fingerprint(model),
        input_tokens=transcript.input_tokens,
        body=body,
        last=asked.last,
        after_tool=after_tool,
        max_tokens=limit,
        stop=fields.strings(body, "stop_sequences", 8191),
        stream=fields.boolean(body, "stream"),
        user=fields.maybe_string(metadata, "user_id"),
        directives=asked.directives(),
        prefixes=prefixes_of(body),
        begun=begun,
    )
    _read_tools(question)
    _read_format(question)
    return question


def _check_sampling(body: dict[str, Any], version: str) -> None:
    for name in ("temperature", "top_p", "top_k"):
        if body.get(name) is not None and version >= _NO_SAMPLING_FROM:
            raise RefusalError(400, f"{name}: Extra inputs are not permitted", param=name)
    fields.number(body, "temperature", 0, 1)
    fields.number(body, "top_p", 0, 1)
    fields.integer(body, "top_k", 0)


def _blocks(content: Any, where: str, transcript: Transcript) -> tuple[str, bool]:
    """The text of a message, and whether it ends with a tool's result."""
    if isinstance(content, str):
        return _non_empty(content, where), False
    if not isinstance(content, list) or not content:
        raise fields.wrong(where, "a string or a non-empty array of content blocks")
    if not all(isinstance(block, dict) for block in content):
        raise fields.wrong(where, "content blocks that are objects")
    texts = [_block_text(block, f"{where}.{index}", transcript) for index, block in enumerate(content)]
    return "".join(texts), content[-1].get("type") == "tool_result"


def _block_text(block: dict[str, Any], where: str, transcript: Transcript) -> str:
    kind = block.get("type")
    if kind == "text":
        return _non_empty(block.get("text"), where)
    if kind == "tool_use":
        if not isinstance(block.get("id"), str) or not isinstance(block.get("input"), dict):
            raise fields.wrong(where, "a tool_use block with id, name and an input object")
        return fields.string(block, "name") + orjson.dumps(block["input"]).decode()
    if kind == "tool_result":
        fields.string(block, "tool_use_id")
        return _blocks(block["content"], f"{where}.content", transcript)[0] if block.get("content") else ""
    if kind in _MEDIA_BLOCKS:
        transcript.weigh(_MEDIA_TOKENS)
    elif kind == "thinking":
        if block.get("signature") != _seal(fields.maybe_string(block, "thinking") or ""):
            raise RefusalError(400, f"{where}: Invalid `signature` in `thinking` block")
    elif kind == "redacted_thinking":
        fields.string(block, "data")
    else:
        raise fields.wrong(f"{where}.type", "a known content block")
    return ""


def _seal(thought: str) -> str:
    return blake2b(thought.encode("utf-8", "surrogatepass"), digest_size=12, key=b"anthropic").hexdigest()


def _non_empty(text: Any, where: str) -> str:
    if not isinstance(text, str) or not text:
        raise RefusalError(400, f"{where}: text content blocks must be non-empty")
    return text


def _read_tools(question: Question) -> None:
    for tool in fields.objects(question.body, "tools"):
        # The vendor's own tools have a type and no schema.
        if tool.get("type", "custom") == "custom":
            schema = fields.mapping(tool, "input_schema")
            if schema is None:
                raise fields.missing("tools.input_schema")
            question.tools[fields.string(tool, "name")] = schema
    choice = fields.mapping(question.body, "tool_choice")
    kind = choice.get("type") if choice else "auto"
    if kind == "any":
        if not question.tools:
            raise fields.wrong("tool_choice", "tools to choose from")
        question.forced_tool = next(iter(question.tools))
    elif choice and kind == "tool":
        if choice.get("name") not in question.tools:
            raise fields.wrong("tool_choice.name", "one of the tools given")
        question.forced_tool = choice["name"]
    elif kind not in {"auto", "none"}:
        raise fields.wrong("tool_choice.type", "auto, any, tool or none")


def _read_format(question: Question) -> None:
    config = fields.mapping(question.body, "output_config")
    wanted = fields.mapping(config, "format") if config else None
    if wanted and wanted.get("type") == "json_schema":
        question.schema = fields.mapping(wanted, "schema") or {}


def count_reply(question: Question, _call: Call) -> Reply:
    """The size of the prompt."""
    return Reply(0, body=orjson.dumps({"input_tokens": question.input_tokens}))


def reply(question: Question, call: Call, cache: PromptCache | None = None) -> Reply:
    """The vendor's answer. Without a `cache`, nothing is kept from call to call."""
    if cache is not None:
        question.cache_use = cache.use(question.prefixes, call.began, time.perf_counter())
    answer = answer_choices(question, call.options.answer_tokens, call.options.seed)[0]
    thoughts = _thoughts(question)
    spent = answer.tokens + _THOUGHT_TOKENS * len(thoughts)
    content = [*thoughts, *_content(call, answer)]
    if question.stream:
        return Reply(spent, frames=_frames(question, call, answer, content, spent))
    message = _message(question, call) | {
        "content": content,
        "stop_reason": _STOP_REASON[answer.finish],
        "stop_sequence": answer.stop_sequence,
        "usage": _usage(question, spent),
    }
    return Reply(spent, body=orjson.dumps(message))


def _thoughts(question: Question) -> list[dict[str, Any]]:
    """What is thought before the answer; without its words where the request wants them left out."""
    told = fields.mapping(question.body, "thinking") or {}
    if told.get("type") not in {"enabled", "adaptive"}:
        return []
    text = "" if told.get("display") == "omitted" else prose(f"{question.fingerprint}:thought", _THOUGHT_TOKENS)
    return [{"type": "thinking", "thinking": text, "signature": _seal(text)}]


def _message(question: Question, call: Call) -> dict[str, Any]:
    return {
        "id": f"msg_{call.id}",
        "type": "message",
        "role": "assistant",
        "model": question.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(question, 1),
    }


def _usage(question: Question, output_tokens: int) -> dict[str, Any]:
    use = question.cache_use
    return {
        "input_tokens": max(0, question.input_tokens - use.read - use.written),
        "output_tokens": output_tokens,
        "cache_creation_input_tokens": use.written,
        "cache_read_input_tokens": use.read,
        "service_tier": "standard",
    }


def _content(call: Call, answer: Answer) -> list[dict[str, Any]]:
    if answer.tools:
        return [
            {
                "type": "tool_use",
                "id": f"toolu_{call.id}{number}",
                "name": tool.name,
                "input": orjson.loads(tool.arguments),
            }
            for number, tool in enumerate(answer.tools)
        ]
    return [{"type": "text", "text": answer.text}] if answer.text else []


def _frames(question: Question, call: Call, answer: Answer, content: list[dict[str, Any]], spent: int) -> list[Frame]:
    frames: list[Frame] = []

    def add(kind: str, tokens_in_it: int = 0, **more: Any) -> None:
        frames.append(Frame(sse(orjson.dumps({"type": kind} | more), kind), tokens_in_it))

    add("message_start", message=_message(question, call))
    for index, block in enumerate(content):
        empty, deltas = _grown(block)
        add("content_block_start", index=index, content_block=empty)
        if index == 0:
            add("ping")
        for delta, size in deltas:
            add("content_block_delta", size, index=index, delta=delta)
        add("content_block_stop", index=index)
    end = {"stop_reason": _STOP_REASON[answer.finish], "stop_sequence": answer.stop_sequence}
    add("message_delta", delta=end, usage={"output_tokens": spent})
    add("message_stop")
    return frames


def _grown(block: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[dict[str, Any], int]]]:
    """A block as it begins, and the deltas it grows by, with the tokens in each."""
    if block["type"] == "text":
        return block | {"text": ""}, [
            ({"type": "text_delta", "text": piece}, 1) for piece in tokens.pieces(block["text"])
        ]
    if block["type"] == "thinking":
        grown = [({"type": "thinking_delta", "thinking": piece}, 1) for piece in tokens.pieces(block["thinking"])]
        sealed = {"type": "signature_delta", "signature": block["signature"]}
        return block | {"thinking": "", "signature": ""}, [*grown, (sealed, 0)]
    pieces = ["", *tokens.pieces(orjson.dumps(block["input"]).decode())]
    deltas = [({"type": "input_json_delta", "partial_json": piece}, int(piece != "")) for piece in pieces]
    return block | {"input": {}}, deltas
