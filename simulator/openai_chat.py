"""POST /v1/chat/completions, plain and streamed."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from simulator import fields, openai_fields, tokens
from simulator.answers import WORDS, Answer, answer_choices, logprob, tells_logprobs
from simulator.prompt_cache import CacheUse
from simulator.question import Question, Transcript
from simulator.routed_cache import RoutedCache
from simulator.streaming import sse
from simulator.vendor import Call, Frame, Reply

_ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
_FINISH = {"stop": "stop", "stop_sequence": "stop", "length": "length", "tool_calls": "tool_calls"}
_MOST_CHOICES = 128


def read(data: bytes, _headers: Mapping[str, str]) -> Question:
    """Read and check a request.

    Raises:
        RefusalError: 400 where the vendor would refuse it.
    """
    body = fields.body_of(data)
    model = fields.string(body, "model")
    transcript = Transcript()
    for index, message in enumerate(fields.objects(body, "messages", required=True)):
        _read_message(message, f"messages[{index}]", transcript)
    openai_fields.check_sampling(body)
    limit = fields.integer(body, "max_completion_tokens", 1) or fields.integer(body, "max_tokens", 1)
    if body.get("tools"):
        transcript.weigh(tokens.count(orjson.dumps(body["tools"]).decode()))
    question = Question(
        model=model,
        fingerprint=transcript.fingerprint(model),
        input_tokens=transcript.input_tokens,
        body=body,
        last=transcript.last,
        after_tool=transcript.last_role == "tool",
        max_tokens=limit,
        n=fields.integer(body, "n", 1, _MOST_CHOICES) or 1,
        stop=fields.strings(body, "stop", 4),
        stream=fields.boolean(body, "stream"),
        user=fields.maybe_string(body, "user"),
        directives=transcript.directives(),
        prompt=orjson.dumps(body.get("tools")).decode() + transcript.whole(),
    )
    fields.maybe_string(body, "prompt_cache_key")
    fields.integer(body, "top_logprobs", 0, 20)
    _read_tools(question)
    _read_format(question)
    return question


def _read_message(message: dict[str, Any], where: str, transcript: Transcript) -> None:
    role = message.get("role")
    if role not in _ROLES:
        raise fields.wrong(f"{where}.role", "one of system, developer, user, assistant, tool")
    if role == "tool":
        fields.string(message, "tool_call_id")
    calls = fields.objects(message, "tool_calls") if role == "assistant" else []
    text = ""
    if message.get("content") is not None:
        text = openai_fields.content_text(message["content"], f"{where}.content", transcript)
    elif not calls and not (role == "assistant" and message.get("refusal")):
        raise fields.wrong(f"{where}.content", "a string or an array of content parts")
    for call in calls:
        name, arguments = (call.get("function") or {}).get("name"), (call.get("function") or {}).get("arguments")
        if not isinstance(name, str) or not isinstance(arguments, str) or not isinstance(call.get("id"), str):
            raise fields.wrong(f"{where}.tool_calls", "calls with id, function.name and function.arguments")
        text += name + arguments
    transcript.add(role, text)


def _read_tools(question: Question) -> None:
    body = question.body
    for index, tool in enumerate(fields.objects(body, "tools")):
        name, schema = openai_fields.function_schema(tool.get("function"), f"tools[{index}].function")
        question.tools[name] = schema
    choice = body.get("tool_choice")
    named = choice.get("function") if isinstance(choice, dict) else None
    openai_fields.read_tool_choice(question, choice, named.get("name") if isinstance(named, dict) else None)


def _read_format(question: Question) -> None:
    wanted = fields.mapping(question.body, "response_format")
    kind = wanted.get("type") if wanted else "text"
    if kind == "json_object":
        question.schema = {}
    elif wanted and kind == "json_schema":
        described = fields.mapping(wanted, "json_schema")
        if not described or not isinstance(described.get("name"), str):
            raise fields.missing("response_format.json_schema.name")
        question.schema = fields.mapping(described, "schema") or {}
    elif kind != "text":
        raise fields.wrong("response_format.type", "text, json_object or json_schema")


def reply(question: Question, call: Call, cache: RoutedCache | None = None) -> Reply:
    """The vendor's answer. Without a `cache`, nothing is kept from call to call."""
    if cache is not None:
        key = question.body.get("prompt_cache_key")
        question.cache_use = CacheUse(cache.read(question.model, question.prompt, key, call.began, time.perf_counter()))
    answers = answer_choices(question, call.options.answer_tokens, call.options.seed)
    output_tokens = sum(answer.tokens for answer in answers)
    if question.stream:
        return Reply(output_tokens, frames=_frames(question, call, answers, output_tokens))
    body = {
        "id": f"chatcmpl-{call.id}",
        "object": "chat.completion",
        "created": call.created,
        "model": question.model,
        "choices": [_choice(question, call, index, answer) for index, answer in enumerate(answers)],
        "usage": usage(question.input_tokens, output_tokens, question.cache_use.read),
        "service_tier": "default",
        "system_fingerprint": "fp_simulator",
    }
    return Reply(output_tokens, body=orjson.dumps(body))


def usage(input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> dict[str, Any]:
    """The usage object of chat and legacy completions."""
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": min(cached_tokens, input_tokens), "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _choice(question: Question, call: Call, index: int, answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.tools:
        message["content"] = None
        message["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": tool.name, "arguments": tool.arguments}}
            for call_id, tool in zip(_call_ids(call, index, answer), answer.tools, strict=True)
        ]
    logprobs = None
    if question.body.get("logprobs") and not answer.tools and tells_logprobs(question):
        entries = [_logprob(piece, question) for piece in tokens.pieces(answer.text)]
        logprobs = {"content": entries, "refusal": None}
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": _FINISH[answer.finish]}


def _call_ids(call: Call, choice: int, answer: Answer) -> list[str]:
    return [f"call_{call.id}{choice}{number}" for number in range(len(answer.tools))]


def _logprob(piece: str, question: Question) -> dict[str, Any]:
    return token_logprob(question, piece, question.body.get("top_logprobs") or 0)


def token_logprob(question: Question, piece: str, rivals: int) -> dict[str, Any]:
    """A token's entry of log probabilities, with so many tokens that could have stood there, itself the first."""
    first = logprob(question, piece)
    top = [_entry(piece, first)] if rivals else []
    top += [_entry(WORDS[rank] + " ", round(first - 0.7 * rank, 4)) for rank in range(1, rivals)]
    return _entry(piece, first) | {"top_logprobs": top}


def _entry(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}


def _frames(question: Question, call: Call, answers: list[Answer], output_tokens: int) -> list[Frame]:
    options = fields.mapping(question.body, "stream_options") or {}
    with_usage = bool(options.get("include_usage"))
    head: dict[str, Any] = {
        "id": f"chatcmpl-{call.id}",
        "object": "chat.completion.chunk",
        "created": call.created,
        "model": question.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulator",
    }
    if with_usage:
        head["usage"] = None

    def frame(choices: list[dict[str, Any]], size: int = 0, **more: Any) -> Frame:
        return Frame(sse(orjson.dumps(head | {"choices": choices} | more)), size)

    frames = []
    # The choices of one answer grow side by side, as they do at the vendor.
    growing = [_deltas(question, call, index, answer) for index, answer in enumerate(answers)]
    while growing:
        for deltas in list(growing):
            choice = next(deltas, None)
            if choice is None:
                growing.remove(deltas)
            else:
                size = choice.pop("size")
                frames.append(frame([choice], size))
    if with_usage:
        cached = question.cache_use.read
        frames.append(frame([], usage=usage(question.input_tokens, output_tokens, cached)))
    frames.append(Frame(b"data: [DONE]\n\n"))
    return frames


def _deltas(question: Question, call: Call, index: int, answer: Answer) -> Iterator[dict[str, Any]]:
    """The chunks of one choice; `size` is what each counts for."""

    def chunk(delta: dict[str, Any], size: int = 0, logprobs: Any = None, finish: str | None = None) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish, "size": size}

    yield chunk({"role": "assistant", "content": None if answer.tools else "", "refusal": None})
    for number, call_id in enumerate(_call_ids(call, index, answer)):
        tool = answer.tools[number]
        function = {"name": tool.name, "arguments": ""}
        start = {"index": number, "id": call_id, "type": "function", "function": function}
        yield chunk({"tool_calls": [start]}, tokens.count(tool.name))
        for piece in tokens.pieces(tool.arguments):
            yield chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]}, 1)
    for piece in tokens.pieces(answer.text):
        logprobs = None
        if question.body.get("logprobs") and tells_logprobs(question):
            logprobs = {"content": [_logprob(piece, question)], "refusal": None}
        yield chunk({"content": piece}, 1, logprobs)
    yield chunk({}, finish=_FINISH[answer.finish])
