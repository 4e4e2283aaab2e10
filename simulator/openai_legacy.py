"""POST /v1/completions: one text completion for each prompt."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from simulator import fields, openai_fields, tokens
from simulator.answers import Answer, answer_choices, logprob
from simulator.openai_chat import usage
from simulator.question import Question, Transcript, directives_of
from simulator.streaming import sse
from simulator.vendor import Call, Frame, Reply

_FINISH = {"stop": "stop", "stop_sequence": "stop", "length": "length"}
#: what the vendor assumes when a request names no limit
_DEFAULT_LIMIT = 16


def read(data: bytes, _headers: Mapping[str, str]) -> Question:
    """Read and check a request.

    Raises:
        RefusalError: 400 where the vendor would refuse it.
    """
    body = fields.body_of(data)
    model = fields.string(body, "model")
    prompts = texts_of(body, "prompt")
    transcript = Transcript()
    for prompt in prompts:
        transcript.add("user", prompt)
    openai_fields.check_sampling(body)
    limit = fields.integer(body, "max_tokens", 0)
    return Question(
        model=model,
        fingerprint=transcript.fingerprint(model),
        input_tokens=transcript.input_tokens,
        body=body,
        last=transcript.last,
        max_tokens=_DEFAULT_LIMIT if limit is None else limit,
        n=(fields.integer(body, "n", 1, 128) or 1) * len(prompts),
        stop=fields.strings(body, "stop", 4),
        stream=fields.boolean(body, "stream"),
        user=fields.maybe_string(body, "user"),
        directives=transcript.directives(),
        inputs=prompts,
    )


def texts_of(body: dict[str, Any], name: str) -> list[str]:
    """A field that is a string, an array of strings, an array of token ids, or an array of such arrays.

    Token ids become the text of their numbers: the simulator has no vocabulary to look them up in.
    """
    value = body.get(name)
    if value is None:
        raise fields.missing(name)
    if isinstance(value, str) or _is_tokens(value):
        value = [value]
    if not isinstance(value, list) or not value:
        raise fields.wrong(name, "a string or a non-empty array")
    texts = []
    for item in value:
        if _is_tokens(item):
            texts.append(" ".join(map(str, item)))
        elif isinstance(item, str):
            texts.append(item)
        else:
            raise fields.wrong(name, "strings or arrays of token ids")
    return texts


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)


def reply(question: Question, call: Call) -> Reply:
    """The vendor's answer."""
    answers = _answers(question, call)
    output_tokens = sum(answer.tokens for answer in answers)
    head = {
        "id": f"cmpl-{call.id}",
        "object": "text_completion",
        "created": call.created,
        "model": question.model,
    }
    if question.stream:
        return Reply(output_tokens, frames=_frames(question, head, answers, output_tokens))
    choices = [_choice(question, index, answer) for index, answer in enumerate(answers)]
    body = head | {"choices": choices, "usage": usage(question.input_tokens, output_tokens)}
    return Reply(output_tokens, body=orjson.dumps(body))


def _answers(question: Question, call: Call) -> list[Answer]:
    """The `n` choices of every prompt, in the order of the prompts; each prompt is a question of its own."""
    answers = []
    each = question.n // len(question.inputs)
    for prompt in question.inputs:
        transcript = Transcript()
        transcript.add("user", prompt)
        single = Question(
            model=question.model,
            fingerprint=transcript.fingerprint(question.model),
            input_tokens=transcript.input_tokens,
            body=question.body,
            last=prompt,
            max_tokens=question.max_tokens,
            n=each,
            stop=question.stop,
            # This endpoint has no tools.
            directives=replace(directives_of(prompt), tools=()),
        )
        answers += answer_choices(single, call.options.answer_tokens, call.options.seed)
    return answers


def _prompt_of(question: Question, index: int) -> str:
    return question.inputs[index * len(question.inputs) // question.n]


def _choice(question: Question, index: int, answer: Answer) -> dict[str, Any]:
    echoed = _prompt_of(question, index) if question.body.get("echo") else ""
    text = echoed + answer.text
    logprobs = _logprobs(question, text) if question.body.get("logprobs") is not None else None
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": _FINISH[answer.finish]}


def _logprobs(question: Question, text: str) -> dict[str, Any]:
    pieces = tokens.pieces(text)
    scores = [logprob(question, piece) for piece in pieces]
    return {
        "tokens": pieces,
        "token_logprobs": scores,
        "top_logprobs": [{piece: score} for piece, score in zip(pieces, scores, strict=True)],
        "text_offset": [at * tokens.TOKEN_CHARS for at in range(len(pieces))],
    }


def _frames(question: Question, head: dict[str, Any], answers: list[Answer], output_tokens: int) -> list[Frame]:
    options = fields.mapping(question.body, "stream_options") or {}

    def frame(choices: list[dict[str, Any]], size: int = 0, **more: Any) -> Frame:
        return Frame(sse(orjson.dumps(head | {"choices": choices} | more)), size)

    frames = []
    for index, answer in enumerate(answers):
        echoed = _prompt_of(question, index) if question.body.get("echo") else ""
        head_pieces = [echoed] if echoed else []
        frames += [
            frame([{"index": index, "text": piece, "logprobs": None, "finish_reason": None}], 1)
            for piece in head_pieces + tokens.pieces(answer.text)
        ]
        end = {"index": index, "text": "", "logprobs": None, "finish_reason": _FINISH[answer.finish]}
        frames.append(frame([end]))
    if options.get("include_usage"):
        frames.append(frame([], usage=usage(question.input_tokens, output_tokens)))
    frames.append(Frame(b"data: [DONE]\n\n"))
    return frames
