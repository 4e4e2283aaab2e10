"""How many tokens a call will take, guessed before it is made. Pure arithmetic; no tokenizer.

A reservation takes the expected input and the *expected* output, not `max_tokens`: callers ask for thousands of tokens
and use hundreds, so reserving the maximum would leave most of the quota idle. It is safe all the same. Every guess is
replaced by the real usage when the call ends (`Quota.settle`), so no error lasts longer than a call; guesses too high
and too low cancel out over the many calls under way; and a steady error cannot stay, because the next guesses learn
from the usage. What is left is bounded by the calls under way at one moment, and pauses that the provider asks for end
it. A provider that charges `max_tokens` when a call begins sees more than we reserve: keep `max_tokens` honest there.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from penstock.completion import CompletionRequest, Document, Image, Message, Reasoning, Text, ToolCall, ToolResult
from penstock.completion.encoding import dumps
from penstock.completion.usage import Usage

#: UTF-8 bytes of text to a token, before anything is learnt; CJK text has 3 bytes and about one token a character
_BYTES_PER_TOKEN = 4.0
#: what a message costs beside its text, and a picture beside its data
_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_IMAGE = 800
#: a document whose text is not at hand: about a page of a PDF, which is read as text and as a picture
_TOKENS_PER_DOCUMENT = 2_000
_TEXT_DOCUMENT = "text/plain"

#: the weight of the newest call in all means: about the last 20 calls count
_NEWEST = 0.05
#: what is assumed of a model before its first answer
_FIRST_OUTPUT = 256.0
#: how far the learnt ratio may leave 1: one odd provider report must not stop or flood a deployment
_LEAST_RATIO, _GREATEST_RATIO = 0.25, 4.0


def plain_input(text_bytes: int, *, messages: int = 1, images: int = 0) -> int:
    """Input tokens by size alone: the UTF-8 bytes of all text (tools included), how many messages, how many pictures.

    For a body that was not parsed, its length does as well: what JSON adds is learnt as part of the ratio.
    """
    text = math.ceil(text_bytes / _BYTES_PER_TOKEN)
    return text + messages * _TOKENS_PER_MESSAGE + images * _TOKENS_PER_IMAGE


def prompt_tokens(request: CompletionRequest) -> int:
    """The input tokens of a whole prompt: messages, tools and the schema of the answer."""
    parts = [part for message in request.messages for part in message.parts]
    images = sum(len(part.images) if isinstance(part, ToolResult) else isinstance(part, Image) for part in parts)
    documents = sum(isinstance(part, Document) and part.media_type != _TEXT_DOCUMENT for part in parts)
    size = sum(_bytes(text) for text in _texts(request.messages))
    for tool in request.tools:
        size += _bytes(tool.name) + _bytes(tool.description or "") + len(dumps(tool.parameters))
    if request.response_format is not None and request.response_format.schema is not None:
        size += len(dumps(request.response_format.schema))
    text = plain_input(size, messages=len(request.messages), images=images)
    return text + documents * _TOKENS_PER_DOCUMENT


def guessed_usage(request: CompletionRequest, answer_bytes: int) -> Usage:
    """The usage of an answer that was not heard to its end, from the prompt and the UTF-8 bytes that were heard."""
    return Usage(prompt_tokens(request), math.ceil(answer_bytes / _BYTES_PER_TOKEN))


def _texts(messages: tuple[Message, ...]) -> Iterator[str]:
    for message in messages:
        for part in message.parts:
            if isinstance(part, Text | Reasoning):
                yield part.text
            elif isinstance(part, ToolCall):
                yield part.name
                yield part.arguments
            elif isinstance(part, ToolResult):
                yield part.content
            elif isinstance(part, Document) and part.media_type == _TEXT_DOCUMENT and part.data:
                yield part.data[: len(part.data) * 3 // 4]  # base64


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call is expected to take. `plain_input` is the guess before calibration, which `learn` compares with."""

    plain_input: int
    input: int
    output: int
    choices: int = 1

    @property
    def tokens(self) -> int:
        """What to reserve."""
        return self.input + self.output


@dataclass(slots=True)
class _Seen:
    """Means over one model's latest calls. The ratio is of sums, so that long prompts weigh more than short ones."""

    real_input: float = 1.0
    plain_input: float = 1.0
    output: float = _FIRST_OUTPUT
    answers: int = 0

    @property
    def ratio(self) -> float:
        return min(max(self.real_input / self.plain_input, _LEAST_RATIO), _GREATEST_RATIO)


@dataclass(slots=True)
class Calibration:
    """What this process has learnt of the tokens of each model. In memory only: one answer is enough to begin with."""

    _models: dict[str, _Seen] = field(default_factory=dict)

    def estimate(self, model: str, plain_input: int, max_tokens: int | None, choices: int = 1) -> Estimate:
        """The tokens a call is expected to take. `max_tokens` is per choice; None means the model's own limit."""
        seen = self._models.get(model) or _Seen()
        output = seen.output if max_tokens is None else min(seen.output, max_tokens)
        return Estimate(plain_input, math.ceil(plain_input * seen.ratio), math.ceil(output * choices), choices)

    def learn(self, model: str, estimate: Estimate, usage: Usage) -> None:
        """Compare an estimate with the usage of the finished call. A count the provider left at 0 teaches nothing."""
        seen = self._models.setdefault(model, _Seen())
        if usage.input_tokens > 0 and estimate.plain_input > 0:
            seen.real_input += _NEWEST * (usage.input_tokens - seen.real_input)
            seen.plain_input += _NEWEST * (estimate.plain_input - seen.plain_input)
        if usage.output_tokens > 0:
            # The first answers count fully: the assumption made before them knows nothing of this model.
            seen.answers += 1
            weight = max(_NEWEST, 1 / seen.answers)
            seen.output += weight * (usage.output_tokens / estimate.choices - seen.output)
