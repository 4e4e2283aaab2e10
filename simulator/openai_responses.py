"""POST /v1/responses, plain and streamed. Nothing is kept: there is no background mode and no later retrieval.

With an effort other than `none` the model thinks first: a reasoning item, sealed if that was asked for. A seal that
comes back has to be one of this simulator's.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from simulator import fields, openai_fields, tokens
from simulator.answers import Answer, answer_choices, prose, tells_logprobs
from simulator.openai_chat import token_logprob
from simulator.question import Question, Transcript
from simulator.refusal import RefusalError
from simulator.streaming import sse
from simulator.vendor import Call, Frame, Reply

#: what a thought counts for, in tokens
_THOUGHT_TOKENS = 6
_SEAL = "gAAAAA-sim-"
_INCLUDE_SEAL = "reasoning.encrypted_content"
_INCLUDE_LOGPROBS = "message.output_text.logprobs"
_ROLES = {"user", "assistant", "system", "developer"}
#: parameters that come back as they were sent, with what the vendor assumes for them
_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def read(data: bytes, _headers: Mapping[str, str]) -> Question:
    """Read and check a request.

    Raises:
        RefusalError: 400 where the vendor would refuse it, and for what the simulator does not keep.
    """
    body = fields.body_of(data)
    model = fields.string(body, "model")
    if fields.boolean(body, "background"):
        raise RefusalError(400, "Background mode is not supported for this model.", param="background")
    if body.get("previous_response_id") is not None:
        raise RefusalError(
            400, "Previous response not found.", code="previous_response_not_found", param="previous_response_id"
        )
    transcript = Transcript()
    instructions = fields.maybe_string(body, "instructions")
    if instructions:
        transcript.add("system", instructions)
    _read_input(body, transcript)
    openai_fields.check_sampling(body)
    if body.get("tools"):
        transcript.weigh(tokens.count(orjson.dumps(body["tools"]).decode()))
    question = Question(
        model=model,
        fingerprint=transcript.fingerprint(model),
        input_tokens=transcript.input_tokens,
        body=body,
        last=transcript.last,
        after_tool=transcript.last_role == "tool",
        max_tokens=fields.integer(body, "max_output_tokens", 1),
        stream=fields.boolean(body, "stream"),
        user=fields.maybe_string(body, "user"),
        directives=transcript.directives(),
    )
    fields.integer(body, "top_logprobs", 0, 20)
    fields.strings(body, "include", 20)
    for index, tool in enumerate(fields.objects(body, "tools")):
        if tool.get("type") == "function":
            name, schema = openai_fields.function_schema(tool, f"tools[{index}]")
            question.tools[name] = schema
    choice = body.get("tool_choice")
    openai_fields.read_tool_choice(question, choice, choice.get("name") if isinstance(choice, dict) else None)
    _read_format(question)
    return question


def _read_input(body: dict[str, Any], transcript: Transcript) -> None:
    given = body.get("input")
    if isinstance(given, str):
        transcript.add("user", given)
        return
    for index, item in enumerate(fields.objects(body, "input", required=True)):
        where = f"input[{index}]"
        kind = item.get("type", "message")
        if kind == "message":
            if item.get("role") not in _ROLES:
                raise fields.wrong(f"{where}.role", "one of user, assistant, system, developer")
            text = openai_fields.content_text(item.get("content"), f"{where}.content", transcript)
            transcript.add(item["role"], text)
        elif kind == "function_call":
            fields.string(item, "call_id")
            transcript.add("assistant", fields.string(item, "name") + str(item.get("arguments", "")))
        elif kind == "function_call_output":
            fields.string(item, "call_id")
            transcript.add("tool", openai_fields.content_text(item.get("output"), f"{where}.output", transcript))
        elif kind == "reasoning" and item.get("encrypted_content") is not None:
            if not str(item["encrypted_content"]).startswith(_SEAL):
                message = "The encrypted content could not be verified."
                raise RefusalError(400, message, code="invalid_encrypted_content", param=f"{where}.encrypted_content")
        elif kind not in {"reasoning", "item_reference"}:
            raise fields.wrong(f"{where}.type", "a known input item")


def _read_format(question: Question) -> None:
    text = fields.mapping(question.body, "text")
    wanted = fields.mapping(text, "format") if text else None
    if wanted and wanted.get("type") == "json_schema":
        fields.string(wanted, "name")
        question.schema = fields.mapping(wanted, "schema") or {}
    elif wanted and wanted.get("type") == "json_object":
        question.schema = {}


def reply(question: Question, call: Call) -> Reply:
    """The vendor's answer."""
    answer = answer_choices(question, call.options.answer_tokens, call.options.seed)[0]
    size = answer.tokens + _thought_tokens(question)
    if question.stream:
        return Reply(size, frames=_Events(question, call, answer).frames())
    return Reply(size, body=orjson.dumps(_final(question, call, answer)))


def _thought_tokens(question: Question) -> int:
    effort = (fields.mapping(question.body, "reasoning") or {}).get("effort")
    return 0 if effort in {None, "none"} else _THOUGHT_TOKENS


def _includes(question: Question, what: str) -> bool:
    return what in (question.body.get("include") or ())


def _response(question: Question, call: Call, **more: Any) -> dict[str, Any]:
    """The response object while it is in progress; `more` replaces what the end changes."""
    body = question.body
    result: dict[str, Any] = {
        name: default if body.get(name) is None else body[name] for name, default in _ECHOED.items()
    }
    # The schema of an echoed tool has these two keys always, be they null.
    tools = [{"parameters": None, "strict": None} | tool for tool in body.get("tools") or []]
    return (
        result
        | {
            "id": f"resp_{call.id}",
            "object": "response",
            "created_at": call.created,
            "status": "in_progress",
            "background": False,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "model": question.model,
            "output": [],
            "previous_response_id": None,
            "service_tier": "default",
            "tools": tools,
            "usage": None,
        }
        | more
    )


def _final(question: Question, call: Call, answer: Answer) -> dict[str, Any]:
    short = answer.finish == "length"
    thoughts = _thought_tokens(question)
    return _response(
        question,
        call,
        status="incomplete" if short else "completed",
        completed_at=None if short else call.created,
        incomplete_details={"reason": "max_output_tokens"} if short else None,
        output=_items(question, call, answer),
        usage={
            "input_tokens": question.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": answer.tokens + thoughts,
            "output_tokens_details": {"reasoning_tokens": thoughts},
            "total_tokens": question.input_tokens + answer.tokens + thoughts,
        },
    )


def _items(question: Question, call: Call, answer: Answer) -> list[dict[str, Any]]:
    thoughts = [_thought(question, call)] if _thought_tokens(question) else []
    if answer.tools:
        calls = [
            {
                "type": "function_call",
                "id": f"fc_{call.id}{number}",
                "call_id": f"call_{call.id}{number}",
                "name": tool.name,
                "arguments": tool.arguments,
                "status": "completed",
            }
            for number, tool in enumerate(answer.tools)
        ]
        return thoughts + calls
    status = "incomplete" if answer.finish == "length" else "completed"
    item = {"type": "message", "id": f"msg_{call.id}", "status": status, "role": "assistant"}
    return [*thoughts, item | {"content": [_part(answer.text, _logprobs(question, answer.text))]}]


def _thought(question: Question, call: Call) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "reasoning", "id": f"rs_{call.id}", "summary": []}
    if (question.body["reasoning"] or {}).get("summary"):
        text = prose(f"{question.fingerprint}:thought", _THOUGHT_TOKENS)
        item["summary"] = [{"type": "summary_text", "text": text}]
    if _includes(question, _INCLUDE_SEAL):
        item["encrypted_content"] = f"{_SEAL}{question.fingerprint}"
    return item


def _part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def _logprobs(question: Question, text: str) -> list[dict[str, Any]]:
    if not _includes(question, _INCLUDE_LOGPROBS) or not tells_logprobs(question):
        return []
    rivals = question.body.get("top_logprobs") or 0
    return [token_logprob(question, piece, rivals) for piece in tokens.pieces(text)]


class _Events:
    """The numbered events of one streamed response."""

    def __init__(self, question: Question, call: Call, answer: Answer) -> None:
        self._question = question
        self._call = call
        self._answer = answer
        self._frames: list[Frame] = []

    def frames(self) -> list[Frame]:
        """All of them, in order."""
        self._add("response.created", response=_response(self._question, self._call))
        self._add("response.in_progress", response=_response(self._question, self._call))
        final = _final(self._question, self._call, self._answer)
        for index, item in enumerate(final["output"]):
            write = {"message": self._message, "reasoning": self._reasoning}.get(item["type"], self._function_call)
            write(index, item)
        self._add(f"response.{final['status']}", response=final)
        return self._frames

    def _add(self, kind: str, tokens_in_it: int = 0, **fields_of_it: Any) -> None:
        event = {"type": kind, "sequence_number": len(self._frames)} | fields_of_it
        self._frames.append(Frame(sse(orjson.dumps(event), kind), tokens_in_it))

    def _message(self, index: int, item: dict[str, Any]) -> None:
        at = {"item_id": item["id"], "output_index": index, "content_index": 0}
        part = item["content"][0]
        started = item | {"status": "in_progress", "content": []}
        self._add("response.output_item.added", output_index=index, item=started)
        self._add("response.content_part.added", **at, part=_part("", []))
        for number, piece in enumerate(tokens.pieces(part["text"])):
            logprobs = [_short(token) for token in part["logprobs"][number : number + 1]]
            self._add("response.output_text.delta", 1, **at, delta=piece, logprobs=logprobs)
        logprobs = [_short(token) for token in part["logprobs"]]
        self._add("response.output_text.done", **at, text=part["text"], logprobs=logprobs)
        self._add("response.content_part.done", **at, part=part)
        self._add("response.output_item.done", output_index=index, item=item)

    def _function_call(self, index: int, item: dict[str, Any]) -> None:
        at = {"item_id": item["id"], "output_index": index}
        started = item | {"status": "in_progress", "arguments": ""}
        self._add("response.output_item.added", output_index=index, item=started)
        for piece in tokens.pieces(item["arguments"]):
            self._add("response.function_call_arguments.delta", 1, **at, delta=piece)
        self._add("response.function_call_arguments.done", **at, name=item["name"], arguments=item["arguments"])
        self._add("response.output_item.done", output_index=index, item=item)

    def _reasoning(self, index: int, item: dict[str, Any]) -> None:
        """The seal at the start is not whole yet, as the vendor warns."""
        started = item | {"summary": []}
        if "encrypted_content" in item:
            started["encrypted_content"] = _SEAL
        self._add("response.output_item.added", output_index=index, item=started)
        for number, text in enumerate(item["summary"]):
            at = {"item_id": item["id"], "output_index": index, "summary_index": number}
            self._add("response.reasoning_summary_part.added", **at, part={"type": "summary_text", "text": ""})
            for piece in tokens.pieces(text["text"]):
                self._add("response.reasoning_summary_text.delta", 1, **at, delta=piece)
            self._add("response.reasoning_summary_text.done", **at, text=text["text"])
            self._add("response.reasoning_summary_part.done", **at, part=text)
        self._add("response.output_item.done", output_index=index, item=item)


def _short(token: dict[str, Any]) -> dict[str, Any]:
    """A token's probability as streams tell it: without bytes."""
    rivals = [{"token": rival["token"], "logprob": rival["logprob"]} for rival in token["top_logprobs"]]
    return {"token": token["token"], "logprob": token["logprob"], "top_logprobs": rivals}
