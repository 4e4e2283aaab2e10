"""The answers. The same request gets the same answer, whenever and wherever it is asked."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b, shake_128
from statistics import NormalDist
from typing import Any, Literal

import orjson

from simulator import tokens
from simulator.arithmetic import worked_answer
from simulator.question import Question
from simulator.recordings import logarithm
from simulator.structured import instance

Finish = Literal["stop", "length", "stop_sequence", "tool_calls"]

#: three letters and a space are one token, so N words are N tokens
_WORD_LIST = (
    "sun sea sky air oak elm bay bee cat dog fox hen owl pig ram yak day dew fog ice ivy jar key kit "
    "lap log map mud net nut oar pan pen pie pot rag rib rod rug saw tap tea tin toe toy tub urn van "
    "vat wax web wig yam zoo arc art axe bar bed bow bus cup "
    "rye elf"
)
WORDS = tuple(_WORD_LIST[at : at + 3] for at in range(0, len(_WORD_LIST), 4))


@dataclass(slots=True)
class ToolUse:
    """A call of a tool; `arguments` is the text of a JSON object."""

    name: str
    arguments: str


@dataclass(slots=True)
class Answer:
    """One choice. `tokens` is what it counts for; `stop_sequence` is the string that ended it."""

    text: str
    finish: Finish
    tokens: int
    tools: tuple[ToolUse, ...] = ()
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Draws:
    """Four numbers in [0, 1) that belong to one call of one request, so arrival order changes nothing."""

    fault: float
    latency: float
    spare: tuple[float, float]

    @classmethod
    def of(cls, seed: int, fingerprint: str, call: int) -> "Draws":
        """The draws of the `call`-th call of a request."""
        digest = blake2b(f"{seed}:{fingerprint}:{call}".encode(), digest_size=32).digest()
        numbers = [int.from_bytes(digest[at : at + 8]) / 2**64 for at in (0, 8, 16, 24)]
        return cls(numbers[0], numbers[1], (numbers[2], numbers[3]))


def lognormal(median: float, sigma: float, draw: float) -> float:
    """The value of a lognormal distribution at the quantile `draw`."""
    # The ends of the quantile scale are infinite.
    clipped = min(max(draw, 1e-6), 1 - 1e-6)
    return float(median * 2.718281828459045 ** (sigma * NormalDist().inv_cdf(clipped)))


def prose(key: str, words: int) -> str:
    """Exactly `words` words of nonsense, `words` tokens long, fixed by the key."""
    if words <= 0:
        return ""
    text = " ".join([WORDS[byte & 63] for byte in shake_128(key.encode()).digest(words)])
    return text.capitalize() + "."


def answer_choices(question: Question, mean_tokens: int, seed: int) -> list[Answer]:
    """The `n` choices of one call; the length of free text varies by half around `mean_tokens`."""
    return [_answer(question, mean_tokens, f"{seed}:{question.fingerprint}:{choice}") for choice in range(question.n)]


def tells_logprobs(question: Question) -> bool:
    """Whether log probabilities can be told: of a recorded answer only if they were recorded with it."""
    return question.recorded is None or question.recorded.token_probability is not None


def logprob(question: Question, piece: str) -> float:
    """A token's log probability: the recorded one, or one between -1.5 and 0 that belongs to the text of the token."""
    recorded = None if question.recorded is None else logarithm(question.recorded)
    if recorded is not None:
        return recorded
    return -round(blake2b(piece.encode("utf-8", "replace"), digest_size=1).digest()[0] / 170, 4)


def _answer(question: Question, mean_tokens: int, key: str) -> Answer:
    if (said := question.recorded) is not None:
        size = tokens.count(said.text) if said.output_tokens is None else said.output_tokens
        return Answer(said.text, said.finish, size)
    calls = _tool_calls(question, key)
    if calls:
        size = sum(tokens.count(call.name) + tokens.count(call.arguments) for call in calls)
        return Answer("", "tool_calls", size, calls)
    text = _text(question, mean_tokens, key).removeprefix(question.begun)
    return finished(text, question.stop, question.max_tokens)


def _tool_calls(question: Question, key: str) -> tuple[ToolUse, ...]:
    if question.directives.tools:
        return tuple(ToolUse(name, arguments) for name, arguments in question.directives.tools)
    if question.forced_tool is None:
        return ()
    arguments = instance(question.tools[question.forced_tool], _words(key))
    return (ToolUse(question.forced_tool, orjson.dumps(arguments if isinstance(arguments, dict) else {}).decode()),)


def _text(question: Question, mean_tokens: int, key: str) -> str:
    directives = question.directives
    if directives.echo is not None:
        return directives.echo
    if directives.tokens is not None:
        return prose(key, directives.tokens)
    if question.schema is not None:
        return orjson.dumps(_structured(question, key)).decode()
    if question.after_tool:
        return f"The tool answered: {question.last}"
    worked = worked_answer(question.last)
    if worked is not None:
        return worked
    spread = int.from_bytes(blake2b(key.encode(), digest_size=4).digest()) / 2**32
    return prose(key, max(1, round(mean_tokens * (0.5 + spread))))


def _structured(question: Question, key: str) -> Any:
    if not question.schema:
        return {"answer": prose(key, 5)}
    return instance(question.schema, _words(key))


def _words(key: str) -> Iterator[str]:
    block = 0
    while True:
        for byte in shake_128(f"{key}:{block}".encode()).digest(32):
            yield WORDS[byte & 63]
        block += 1


def finished(text: str, stop: tuple[str, ...], max_tokens: int | None) -> Answer:
    """Cut a text at the first stop string and at the token limit, whichever comes first."""
    hits = [(at, sequence) for sequence in stop if sequence and (at := text.find(sequence)) >= 0]
    finish: Finish = "stop"
    matched = None
    if hits:
        at, matched = min(hits)
        text, finish = text[:at], "stop_sequence"
    size = tokens.count(text)
    if max_tokens is not None and size > max_tokens:
        return Answer(tokens.truncate(text, max_tokens), "length", max_tokens)
    return Answer(text, finish, size, (), matched)
