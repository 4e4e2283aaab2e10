"""POST /api/chat, plain and streamed as lines of JSON."""

import base64
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from simulator import fields, tokens
from simulator.answers import WORDS, Answer, ToolUse, answer_choices, logprob, tells_logprobs
from simulator.openai_fields import IMAGE_TOKENS
from simulator.question import Question, Transcript
from simulator.refusal import RefusalError
from simulator.vendor import Call, Frame, Reply

_ROLES = {"system", "user", "assistant", "tool"}
_DONE = {"stop": "stop", "stop_sequence": "stop", "length": "length", "tool_calls": "stop"}
_LEVELS = {"low", "medium", "high", "max"}
_INTEGERS = ("num_predict", "num_ctx", "top_k", "seed")
_FLOATS = ("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repeat_penalty")


def read(data: bytes, _headers: Mapping[str, str]) -> Question:
    """Read and check a request. A stream is what one gets unless one says otherwise.

    Raises:
        RefusalError: 400 where the server would refuse it.
    """
    body = fields.body_of(data)
    if not body.get("model"):
        raise RefusalError(400, "model is required")
    model = fields.string(body, "model")
    rivals = fields.integer(body, "top_logprobs", -1)
    if rivals is not None and not 0 <= rivals <= 20:
        raise RefusalError(400, "top_logprobs must be between 0 and 20")
    transcript = Transcript()
    for index, message in enumerate(fields.objects(body, "messages")):
        _read_message(message, f"messages[{index}]", transcript)
    if body.get("tools"):
        transcript.weigh(tokens.count(orjson.dumps(body["tools"]).decode()))
    options = read_options(body)
    limit = options.get("num_predict") or 0
    question = Question(
        model=model,
        fingerprint=transcript.fingerprint(model),
        input_tokens=transcript.input_tokens,
        body=body,
        last=transcript.last,
        after_tool=transcript.last_role == "tool",
        max_tokens=limit if limit > 0 else None,
        stop=tuple(options.get("stop") or ()),
        stream=body.get("stream") is None or fields.boolean(body, "stream"),
        directives=transcript.directives(),
    )
    for tool in fields.objects(body, "tools"):
        function = fields.mapping(tool, "function") or {}
        question.tools[fields.string(function, "name")] = fields.mapping(function, "parameters") or {}
    _read_format(question)
    _check_think(body.get("think"))
    return question


def _read_message(message: dict[str, Any], where: str, transcript: Transcript) -> None:
    role = message.get("role")
    if role not in _ROLES:
        raise fields.wrong(f"{where}.role", "one of system, user, assistant, tool")
    text = fields.maybe_string(message, "content") or ""
    for image in fields.strings(message, "images", 1000):
        try:
            base64.b64decode(image, validate=True)
        except ValueError as error:
            raise fields.wrong(f"{where}.images", "base64 of pictures") from error
        transcript.weigh(IMAGE_TOKENS)
    for call in fields.objects(message, "tool_calls"):
        function = fields.mapping(call, "function") or {}
        arguments = fields.mapping(function, "arguments")
        text += fields.string(function, "name") + orjson.dumps(arguments or {}).decode()
    transcript.add(role, text)


def read_options(body: dict[str, Any]) -> dict[str, Any]:
    """The model's options, those that are known of the right type; unknown ones are passed over by the server too."""
    options = fields.mapping(body, "options") or {}
    for names, types, word in ((_INTEGERS, int, "integer"), (_FLOATS, int | float, "float32")):
        for name in names:
            value = options.get(name)
            if value is not None and (not isinstance(value, types) or isinstance(value, bool)):
                raise RefusalError(500, f'option "{name}" must be of type {word}')
    stop = options.get("stop")
    if stop is not None and (not isinstance(stop, list) or not all(isinstance(text, str) for text in stop)):
        raise RefusalError(500, 'option "stop" must be of an array of strings')
    return options


def _read_format(question: Question) -> None:
    wanted = question.body.get("format")
    if wanted is None or wanted == "":
        return
    if wanted == "json":
        question.schema = {}
    elif isinstance(wanted, dict):
        question.schema = wanted
    else:
        raise RefusalError(400, f'invalid format: {orjson.dumps(wanted).decode()}; expected "json" or a JSON schema')


def _check_think(think: Any) -> None:
    if think is None or isinstance(think, bool) or think in _LEVELS:
        return
    raise RefusalError(400, f'invalid think value: "{think}" (must be "high", "medium", "low", "max", true, or false)')


def reply(question: Question, call: Call) -> Reply:
    """The server's answer; without messages it only loads the model."""
    if not question.body.get("messages"):
        loaded = _chunk(question, call, True) | {"done_reason": "load"}
        return Reply(0, body=orjson.dumps(loaded), frames=[_line(loaded)])
    answer = answer_choices(question, call.options.answer_tokens, call.options.seed)[0]
    end = {"done_reason": _DONE[answer.finish], **_metrics(question, call, answer)}
    if question.stream:
        last = _line(_chunk(question, call, True) | end)
        return Reply(answer.tokens, frames=[*_frames(question, call, answer), last])
    message: dict[str, Any] = {"content": answer.text}
    if answer.tools:
        message["tool_calls"] = [_tool_call(call, number, tool) for number, tool in enumerate(answer.tools)]
    whole = _chunk(question, call, True, **message) | end
    if question.body.get("logprobs") and tells_logprobs(question):
        whole["logprobs"] = [_logprob(question, piece) for piece in tokens.pieces(answer.text)]
    return Reply(answer.tokens, body=orjson.dumps(whole))


def _chunk(question: Question, call: Call, done: bool, **message: Any) -> dict[str, Any]:
    created = datetime.fromtimestamp(call.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    said = {"role": "assistant", "content": "", **message}
    return {"model": question.model, "created_at": created, "message": said, "done": done}


def _metrics(question: Question, call: Call, answer: Answer) -> dict[str, int]:
    """Counts, and times in nanoseconds."""
    taken = int((time.perf_counter() - call.began) * 1e9)
    return {
        "total_duration": taken,
        "load_duration": 1,
        "prompt_eval_count": question.input_tokens,
        "prompt_eval_duration": 1,
        "eval_count": answer.tokens,
        "eval_duration": taken,
    }


def _frames(question: Question, call: Call, answer: Answer) -> Iterator[Frame]:
    for number, tool in enumerate(answer.tools):
        size = tokens.count(tool.name) + tokens.count(tool.arguments)
        yield _line(_chunk(question, call, False, tool_calls=[_tool_call(call, number, tool)]), size)
    for piece in tokens.pieces(answer.text):
        chunk = _chunk(question, call, False, content=piece)
        if question.body.get("logprobs") and tells_logprobs(question):
            chunk["logprobs"] = [_logprob(question, piece)]
        yield _line(chunk, 1)


def _line(value: dict[str, Any], size: int = 0) -> Frame:
    return Frame(orjson.dumps(value) + b"\n", size)


def _tool_call(call: Call, number: int, tool: ToolUse) -> dict[str, Any]:
    function = {"index": number, "name": tool.name, "arguments": orjson.loads(tool.arguments)}
    return {"id": f"call_{call.id}{number}", "function": function}


def _logprob(question: Question, piece: str) -> dict[str, Any]:
    first = logprob(question, piece)
    rivals = question.body.get("top_logprobs") or 0
    told = _entry(piece, first)
    if not rivals:
        return told
    others = [_entry(WORDS[rank] + " ", round(first - 0.7 * rank, 4)) for rank in range(1, rivals)]
    return told | {"top_logprobs": [_entry(piece, first), *others]}


def _entry(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}
