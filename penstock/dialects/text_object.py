"""A finished job as a legacy completion."""

from collections import defaultdict
from typing import Any

from penstock.completion import PartStarted
from penstock.completion.events import FinishReason
from penstock.dialects.chat_object import usage
from penstock.dialects.facts import JobFacts
from penstock.dialects.text_request import prompts

#: this dialect has no word for a call of a tool, a stop string, nor a model that refused
FINISH_REASONS: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "stop",
    "content_filter": "content_filter",
    "stop_sequence": "stop",
    "refusal": "content_filter",
}
#: the kinds of parts that are told; it has no place for what a model thinks
SPOKEN = frozenset(("text", "refusal"))
#: a token's log probability, after the character of its choice at which the token begins
Score = tuple[int, dict[str, Any]]


def render(facts: JobFacts) -> dict[str, Any]:
    """The `text_completion` object of a job that succeeded.

    Raises:
        ValueError: the job has no whole answer.
    """
    result = facts.result
    if result is None or not result.finish_reasons:
        raise ValueError("only a whole answer can be shown as a completion")
    texts = defaultdict(str, enumerate(echoes(facts, len(result.finish_reasons))))
    scores: defaultdict[int, list[Score]] = defaultdict(list)
    parts: list[PartStarted] = []
    # As it grew: parts that grew by turns are told by turns, as the stream told them.
    for event in result.events():
        if isinstance(event, PartStarted):
            parts.append(event)
        elif parts[event.part].kind in SPOKEN:
            choice = parts[event.part].choice
            scores[choice] += placed(event.logprobs, len(texts[choice]))
            texts[choice] += event.text
    return {
        **head(facts),
        "choices": [
            {
                "index": index,
                "text": texts[index],
                "logprobs": logprobs(scores[index]),
                "finish_reason": FINISH_REASONS[reason],
            }
            for index, reason in enumerate(result.finish_reasons)
        ],
        "usage": usage(result.usage),
    }


def head(facts: JobFacts) -> dict[str, Any]:
    """What a completion and all its chunks begin with."""
    return {
        "id": "cmpl-" + facts.id.hex,
        "object": "text_completion",
        "created": facts.created_at,
        "model": facts.model,
        "system_fingerprint": None,
    }


def choices(facts: JobFacts) -> int:
    """How many are asked for: `n` for each prompt."""
    return len(prompts(facts.body)) * (facts.body.get("n") or 1)


def echoes(facts: JobFacts, count: int) -> list[str]:
    """What stands before the answer of each of `count` choices: its prompt, where that was asked for."""
    if not facts.body.get("echo"):
        return [""] * count
    asked = prompts(facts.body)
    return [asked[index * len(asked) // count] for index in range(count)]


def placed(entries: tuple[dict[str, Any], ...], offset: int) -> list[Score]:
    """The scores of a delta whose text begins at this character of its choice."""
    found = []
    for entry in entries:
        found.append((offset, entry))
        offset += len(entry["token"])
    return found


def logprobs(scores: list[Score]) -> dict[str, Any] | None:
    """Log probabilities as four parallel lists."""
    if not scores:
        return None
    tops = [{top["token"]: top["logprob"] for top in entry.get("top_logprobs") or ()} for _, entry in scores]
    return {
        "tokens": [entry["token"] for _, entry in scores],
        "token_logprobs": [entry["logprob"] for _, entry in scores],
        "top_logprobs": tops if any(tops) else None,
        "text_offset": [offset for offset, _ in scores],
    }
