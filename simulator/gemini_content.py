"""POST …:generateContent, …:streamGenerateContent (as server-sent events only) and …:countTokens.

A prompt that is refused for its content is no error at this vendor: it answers that it was blocked. So is an
`[[error: 400 SAFETY]]`, or with another of its words for that.
"""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from simulator import fields, gemini_fields, tokens
from simulator.answers import WORDS, Answer, answer_choices, logprob, tells_logprobs
from simulator.gemini_contents import read_contents
from simulator.question import Question, Transcript
from simulator.refusal import RefusalError
from simulator.vendor import Call, Frame, Head, Reply

_FINISH = {"stop": "STOP", "stop_sequence": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS"}
_TOOL_CONFIG = {"functionCallingConfig", "includeServerSideToolInvocations", "retrievalConfig"}
_BLOCKS = {"SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY"}
_MOST_CHOICES = 8
_MOST_STOPS = 5
_THOUGHT = "**Thinking it over**\n"


def read(data: bytes, head: Head) -> Question:
    """Read and check a request.

    Raises:
        RefusalError: 400 where the vendor would refuse it.
    """
    return _read(data, head.path["model"], stream=False)


def read_stream(data: bytes, head: Head) -> Question:
    """As `read`, for a stream."""
    if head.query.get("alt") != "sse":
        raise RefusalError(400, "This simulator streams server-sent events only: ask with `alt=sse`.", param="alt")
    return _read(data, head.path["model"], stream=True)


def read_count(data: bytes, head: Head) -> Question:
    """Read a request to count tokens: a conversation, or a whole request under `generateContentRequest`."""
    body = fields.body_of(data)
    inner = fields.mapping(body, "generateContentRequest") or body
    return _read(orjson.dumps(inner), head.path["model"], stream=False)


def _read(data: bytes, model: str, *, stream: bool) -> Question:
    body = gemini_fields.request_of(data)
    config = body["generationConfig"]
    transcript = Transcript()
    after_tool = read_contents(body, model, transcript)
    if body.get("tools"):
        transcript.weigh(tokens.count(orjson.dumps(body["tools"]).decode()))
    question = Question(
        model=model,
        fingerprint=transcript.fingerprint(model),
        input_tokens=transcript.input_tokens,
        body=body,
        last=transcript.last,
        after_tool=after_tool,
        max_tokens=fields.integer(config, "maxOutputTokens", 1),
        n=fields.integer(config, "candidateCount", 1, _MOST_CHOICES) or 1,
        stop=fields.strings(config, "stopSequences", _MOST_STOPS),
        stream=stream,
        directives=transcript.directives(),
    )
    if question.directives.error_code in _BLOCKS:
        body["blocked"] = question.directives.error_code
        question.directives = replace(question.directives, error=None)
    _read_tools(question)
    if config.get("responseMimeType") == "application/json":
        own = gemini_fields.as_json_schema(fields.mapping(config, "responseSchema") or {})
        question.schema = fields.mapping(config, "responseJsonSchema") or own
    return question


def _read_tools(question: Question) -> None:
    question.tools.update(gemini_fields.declarations(question.body))
    config = gemini_fields.message(fields.mapping(question.body, "toolConfig") or {}, _TOOL_CONFIG, "tool_config")
    given = fields.mapping(config, "functionCallingConfig") or {}
    calling = gemini_fields.message(given, {"mode", "allowedFunctionNames"}, "tool_config.function_calling_config")
    mode = calling.get("mode", "AUTO")
    if mode not in {"AUTO", "ANY", "NONE", "VALIDATED"}:
        raise fields.wrong("tool_config.function_calling_config.mode", "AUTO, ANY, NONE or VALIDATED")
    allowed = fields.strings(calling, "allowedFunctionNames", len(question.tools))
    if mode in {"ANY", "VALIDATED"} and not question.tools:
        raise RefusalError(400, "Function calling config is set without function_declarations.", param="tool_config")
    if any(name not in question.tools for name in allowed) or (allowed and mode not in {"ANY", "VALIDATED"}):
        raise fields.wrong("tool_config.function_calling_config.allowed_function_names", "declared functions")
    if mode == "ANY":
        question.forced_tool = (allowed or tuple(question.tools))[0]


def count_reply(question: Question, _call: Call) -> Reply:
    """The size of the prompt."""
    return Reply(0, body=orjson.dumps({"totalTokens": question.input_tokens}))


def reply(question: Question, call: Call) -> Reply:
    """The vendor's answer."""
    if "blocked" in question.body:
        return _blocked(question, call)
    answers = answer_choices(question, call.options.answer_tokens, call.options.seed)
    thoughts = tokens.count(_THOUGHT) * len(answers) if _shows_thoughts(question) else 0
    output_tokens = sum(answer.tokens for answer in answers)
    usage = _usage(question, output_tokens, thoughts)
    if question.stream:
        return Reply(output_tokens + thoughts, frames=_frames(question, call, answers, usage))
    candidates = []
    for index, answer in enumerate(answers):
        parts = [part for part, _ in _parts(question, answer, f"{call.id}{index}", whole=True)]
        candidates.append(_candidate(question, index, parts, answer.text, _FINISH[answer.finish]))
    return Reply(output_tokens + thoughts, body=orjson.dumps(_chunk(question, call, candidates, usage)))


def _blocked(question: Question, call: Call) -> Reply:
    """The prompt was refused for its content: there are no candidates."""
    body = _chunk(question, call, [], _usage(question, None, 0))
    del body["candidates"]
    body["promptFeedback"] = {"blockReason": question.body["blocked"], "safetyRatings": []}
    if question.stream:
        return Reply(0, frames=[Frame(_event(body))])
    return Reply(0, body=orjson.dumps(body))


def _shows_thoughts(question: Question) -> bool:
    return bool(question.body["generationConfig"]["thinkingConfig"].get("includeThoughts"))


def _usage(question: Question, output_tokens: int | None, thoughts: int) -> dict[str, Any]:
    """The counts; while an answer grows they leave out its own."""
    prompt = question.input_tokens
    usage: dict[str, Any] = {
        "promptTokenCount": prompt,
        "totalTokenCount": prompt + (output_tokens or 0) + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    }
    if output_tokens:
        usage["candidatesTokenCount"] = output_tokens
    return usage | ({"thoughtsTokenCount": thoughts} if thoughts else {})


def _chunk(question: Question, call: Call, candidates: list[dict[str, Any]], usage: dict[str, Any]) -> dict[str, Any]:
    """A whole answer, or a chunk of one: they have the same form."""
    return {
        "candidates": candidates,
        "usageMetadata": usage,
        "modelVersion": question.model,
        "responseId": call.id,
    }


def _candidate(
    question: Question, index: int, parts: list[dict[str, Any]], text: str, finish: str | None
) -> dict[str, Any]:
    content: dict[str, Any] = {"role": "model"} | ({"parts": parts} if parts else {})
    candidate: dict[str, Any] = {"content": content, "index": index}
    config = question.body["generationConfig"]
    if config.get("responseLogprobs") and text and tells_logprobs(question):
        pieces = tokens.pieces(text)
        chosen = [_token(piece, logprob(question, piece)) for piece in pieces]
        candidate["logprobsResult"] = {"chosenCandidates": chosen}
        if config.get("logprobs"):
            tops = [{"candidates": _rivals(question, piece, config["logprobs"])} for piece in pieces]
            candidate["logprobsResult"]["topCandidates"] = tops
    return candidate | ({"finishReason": finish} if finish is not None else {})


def _token(piece: str, logprob: float) -> dict[str, Any]:
    return {"token": piece, "tokenId": len(piece), "logProbability": logprob}


def _rivals(question: Question, piece: str, count: int) -> list[dict[str, Any]]:
    first = logprob(question, piece)
    words = [piece, *(word + " " for word in WORDS[1:count])]
    return [_token(word, round(first - 0.7 * rank, 4)) for rank, word in enumerate(words)]


def _parts(question: Question, answer: Answer, prefix: str, *, whole: bool) -> Iterator[tuple[dict[str, Any], int]]:
    """The parts of an answer with the tokens of each. Texts grow by tokens, calls come whole; the first has a seal.

    `prefix` is what the ids of calls begin with.
    """
    if _shows_thoughts(question):
        yield {"text": _THOUGHT, "thought": True}, tokens.count(_THOUGHT)
    for number, tool in enumerate(answer.tools):
        function = {"id": f"{prefix}{number}", "name": tool.name, "args": orjson.loads(tool.arguments)}
        part: dict[str, Any] = {"functionCall": function}
        if number == 0:
            part["thoughtSignature"] = b64encode(question.fingerprint.encode()).decode("ascii")
        yield part, tokens.count(tool.name) + tokens.count(tool.arguments)
    for piece in [answer.text] if whole and answer.text else tokens.pieces(answer.text):
        yield {"text": piece}, tokens.count(piece)


def _frames(question: Question, call: Call, answers: list[Answer], usage: dict[str, Any]) -> list[Frame]:
    frames = []
    counted = _usage(question, None, 0)
    growing = {
        index: _parts(question, answer, f"{call.id}{index}", whole=False) for index, answer in enumerate(answers)
    }
    # The candidates of one answer grow side by side, as they do at the vendor.
    while growing:
        for index, parts in list(growing.items()):
            part, size = next(parts, (None, 0))
            if part is None:
                del growing[index]
                continue
            text = "" if part.get("thought") else part.get("text", "")
            candidates = [_candidate(question, index, [part], text, None)]
            frames.append(Frame(_event(_chunk(question, call, candidates, counted)), size))
    for index, answer in enumerate(answers):
        candidates = [_candidate(question, index, [{"text": ""}], "", _FINISH[answer.finish])]
        frames.append(Frame(_event(_chunk(question, call, candidates, usage))))
    return frames


def _event(chunk: dict[str, Any]) -> bytes:
    """One server-sent event, with the line endings that the vendor's have."""
    return b"data: " + orjson.dumps(chunk) + b"\r\n\r\n"
