"""POST /v2/chat, plain and streamed."""

import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import orjson

from simulator import fields, tokens
from simulator.answers import Answer, answer_choices, logprob, tells_logprobs
from simulator.openai_fields import IMAGE_TOKENS
from simulator.question import Question, Transcript
from simulator.refusal import RefusalError
from simulator.streaming import sse
from simulator.vendor import Call, Frame, Reply

_ROLES = {"system", "user", "assistant", "tool"}
_FINISH = {"stop": "COMPLETE", "length": "MAX_TOKENS", "stop_sequence": "STOP_SEQUENCE", "tool_calls": "TOOL_CALL"}
#: what each role's content may be made of, and the field that holds it
_BLOCKS = {
    "system": {"text"},
    "user": {"text", "image_url"},
    "assistant": {"text", "thinking"},
    "tool": {"text", "document"},
}
_MOST_STOP_STRINGS = 5
_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read(data: bytes, _headers: Mapping[str, str]) -> Question:
    """Read and check a request.

    Raises:
        RefusalError: 400 where the vendor would refuse it.
    """
    body = fields.body_of(data)
    model = fields.string(body, "model")
    transcript = Transcript()
    called: set[str] = set()
    for index, message in enumerate(fields.objects(body, "messages", required=True)):
        _read_message(message, f"messages[{index}]", transcript, called)
    _check_settings(body)
    for name in ("tools", "documents"):
        if body.get(name):
            transcript.weigh(tokens.count(orjson.dumps(body[name]).decode()))
    question = Question(
        model=model,
        fingerprint=transcript.fingerprint(model),
        input_tokens=transcript.input_tokens,
        body=body,
        last=transcript.last,
        after_tool=transcript.last_role == "tool",
        max_tokens=fields.integer(body, "max_tokens", 1),
        stop=_stop_sequences(body),
        stream=fields.boolean(body, "stream"),
        directives=transcript.directives(),
    )
    _read_tools(question)
    _read_format(question)
    return question


def _read_message(message: dict[str, Any], where: str, transcript: Transcript, called: set[str]) -> None:
    role = message.get("role")
    if role not in _ROLES:
        raise fields.wrong(f"{where}.role", "one of system, user, assistant, tool")
    text = ""
    calls = fields.objects(message, "tool_calls") if role == "assistant" else []
    for call in calls:
        function = call.get("function")
        if call.get("type") != "function":
            raise RefusalError(400, "tool call must be of type function")
        if not isinstance(call.get("id"), str) or not isinstance(function, dict):
            raise fields.wrong(f"{where}.tool_calls", "calls with id and function")
        called.add(call["id"])
        text += fields.string(function, "name") + fields.string(function, "arguments")
    if role == "tool" and fields.string(message, "tool_call_id") not in called:
        raise RefusalError(400, "tool call id not found in previous tool calls")
    if role == "assistant":
        text = (fields.maybe_string(message, "tool_plan") or "") + text
    if message.get("content") is not None:
        text = _content_text(message["content"], role, where, transcript) + text
    elif role != "assistant":
        raise fields.missing(f"{where}.content")
    if not text and role != "tool":
        raise RefusalError(400, "message must not be empty in a turn")
    transcript.add(role, text)


def _content_text(content: Any, role: str, where: str, transcript: Transcript) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise fields.wrong(f"{where}.content", "a string or an array of content blocks")
    texts = []
    for block in content:
        kind = block.get("type")
        if kind not in _BLOCKS[role]:
            raise fields.wrong(f"{where}.content.type", " or ".join(sorted(_BLOCKS[role])))
        if kind == "image_url":
            fields.string(fields.mapping(block, "image_url") or {}, "url")
            transcript.weigh(IMAGE_TOKENS)
        elif kind == "document":
            texts.append(orjson.dumps((fields.mapping(block, "document") or {}).get("data")).decode())
        else:
            texts.append(fields.string(block, kind))
    return "".join(texts)


def _check_settings(body: dict[str, Any]) -> None:
    """What steers sampling and thinking; a simulated answer does not depend on it."""
    fields.number(body, "temperature", 0, 1)
    fields.number(body, "p", 0.01, 0.99)
    fields.integer(body, "k", 0, 500)
    fields.integer(body, "seed", 0)
    fields.number(body, "frequency_penalty", 0, 1)
    fields.number(body, "presence_penalty", 0, 1)
    fields.boolean(body, "logprobs")
    fields.boolean(body, "strict_tools")
    thinking = fields.mapping(body, "thinking")
    if thinking is not None:
        if thinking.get("type", "enabled") not in {"enabled", "disabled"}:
            raise fields.wrong("thinking.type", "enabled or disabled")
        fields.integer(thinking, "token_budget", 1)


def _stop_sequences(body: dict[str, Any]) -> tuple[str, ...]:
    if isinstance(body.get("stop_sequences"), str):
        raise fields.wrong("stop_sequences", "an array of strings")
    return fields.strings(body, "stop_sequences", _MOST_STOP_STRINGS)


def _read_tools(question: Question) -> None:
    for tool in fields.objects(question.body, "tools"):
        function = fields.mapping(tool, "function")
        if tool.get("type") != "function" or function is None:
            raise fields.wrong("tools", "tools of type function")
        name = fields.string(function, "name")
        if not _TOOL_NAME.fullmatch(name):
            raise RefusalError(
                400,
                "invalid request: tool names can only contain certain characters (A-Za-z0-9_) and can't begin with a "
                f"digit (provided name: '{name}').",
            )
        schema = fields.mapping(function, "parameters")
        if schema is None or schema.get("type") != "object":
            raise RefusalError(400, "schema must be an object")
        question.tools[name] = schema
    choice = question.body.get("tool_choice")
    if choice not in {None, "REQUIRED", "NONE"}:
        raise fields.wrong("tool_choice", "REQUIRED or NONE")
    if choice is not None and not question.tools:
        raise fields.wrong("tool_choice", "tools to choose from")
    if choice == "REQUIRED":
        question.forced_tool = next(iter(question.tools))


def _read_format(question: Question) -> None:
    wanted = fields.mapping(question.body, "response_format")
    kind = wanted.get("type") if wanted else "text"
    if wanted and kind == "json_object":
        if question.body.get("documents"):
            raise RefusalError(400, "invalid request: response_format is not supported with RAG.")
        question.schema = fields.mapping(wanted, "json_schema") or {}
    elif kind != "text":
        raise fields.wrong("response_format.type", "text or json_object")


def reply(question: Question, call: Call) -> Reply:
    """The vendor's answer."""
    answer = answer_choices(question, call.options.answer_tokens, call.options.seed)[0]
    if question.stream:
        return Reply(answer.tokens, frames=list(_frames(question, call, answer)))
    message: dict[str, Any] = {"role": "assistant"}
    if answer.text:
        message["content"] = [{"type": "text", "text": answer.text}]
    if answer.tools:
        message["tool_calls"] = [
            _tool_call(call, number, tool.name, tool.arguments) for number, tool in enumerate(answer.tools)
        ]
    body: dict[str, Any] = {
        "id": call.id,
        "finish_reason": _FINISH[answer.finish],
        "message": message,
        "usage": _usage(question, answer),
    }
    if question.body.get("logprobs") and tells_logprobs(question):
        body["logprobs"] = [_logprob(question, piece) for piece in tokens.pieces(answer.text)]
    return Reply(answer.tokens, body=orjson.dumps(body))


def _tool_call(call: Call, number: int, name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": f"{name}_{call.id}{number}", "type": "function", "function": function}


def _usage(question: Question, answer: Answer) -> dict[str, Any]:
    counts = {"input_tokens": float(question.input_tokens), "output_tokens": float(answer.tokens)}
    return {"billed_units": counts, "tokens": counts, "cached_tokens": 0.0}


def _logprob(question: Question, piece: str) -> dict[str, Any]:
    token = int.from_bytes(blake2b(piece.encode("utf-8", "replace"), digest_size=2).digest())
    return {"text": piece, "token_ids": [token], "logprobs": [logprob(question, piece)]}


def _frames(question: Question, call: Call, answer: Answer) -> Iterator[Frame]:
    def frame(kind: str, message: Any = None, index: int | None = None, size: int = 0, **more: Any) -> Frame:
        event: dict[str, Any] = {"type": kind}
        event |= {} if index is None else {"index": index}
        event |= {} if message is None else {"delta": {"message": message}}
        return Frame(sse(orjson.dumps(event | more), kind), size)

    empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield frame("message-start", empty, id=call.id)
    if answer.text:
        yield frame("content-start", {"content": {"type": "text", "text": ""}}, 0)
        for piece in tokens.pieces(answer.text):
            wanted = question.body.get("logprobs") and tells_logprobs(question)
            told = {"logprobs": _logprob(question, piece)} if wanted else {}
            yield frame("content-delta", {"content": {"text": piece}}, 0, 1, **told)
        yield frame("content-end", index=0)
    for number, tool in enumerate(answer.tools):
        begun = _tool_call(call, number, tool.name, "")
        yield frame("tool-call-start", {"tool_calls": begun}, number, tokens.count(tool.name))
        for piece in tokens.pieces(tool.arguments):
            yield frame("tool-call-delta", {"tool_calls": {"function": {"arguments": piece}}}, number, 1)
        yield frame("tool-call-end", index=number)
    yield frame("message-end", delta={"finish_reason": _FINISH[answer.finish], "usage": _usage(question, answer)})
    yield Frame(b"data: [DONE]\n\n")
