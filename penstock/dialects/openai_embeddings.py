"""OpenAI's embeddings: what the dialect says, in one place (contract §6).

Inputs are texts, or prompts that are tokens already, never both in one request. `encoding_format` is how the caller
gets the vectors; how a provider sends them is the adapter's business.
"""

from typing import Any

from penstock.completion import EmbeddingRequest
from penstock.completion.embedding import to_base64
from penstock.dialects.facts import JobFacts
from penstock.dialects.fields import (
    check_metadata,
    fallback,
    integer,
    max_cost,
    required,
    required_string,
    residency,
    string,
    word,
    wrong_type,
    wrong_value,
)
from penstock.dialects.openai_errors import envelope as render_error

__all__ = ["parse", "render", "render_error"]

#: the vendor's own limit; it keeps one job's vectors to what a process can hold
MAX_INPUTS = 2048
_FORMATS = ("float", "base64")
#: what is read here, and what concerns the caller and this service only; all else may mean something to a provider
_NOT_EXTRA = frozenset(
    (
        "model", "input", "dimensions", "encoding_format", "user", "fallback", "residency", "max_cost", "metadata",
        "stream",
    )
)  # fmt: skip


def parse(body: dict[str, Any]) -> EmbeddingRequest:
    """The request in a body. A null field counts as left out.

    Raises:
        InvalidRequest: it cannot be used; `param` names the field.
    """
    model = required_string(body, "model")
    word(body, "encoding_format", _FORMATS)
    check_metadata(body)
    return EmbeddingRequest(
        model=model,
        inputs=_inputs(required(body, "input")),
        dimensions=integer(body, "dimensions", 1),
        user=string(body, "user"),
        fallback=fallback(body),
        residency=residency(body),
        max_cost=max_cost(body),
        extra={name: value for name, value in body.items() if name not in _NOT_EXTRA and value is not None},
    )


def render(facts: JobFacts) -> dict[str, Any]:
    """The list of embeddings of a job that succeeded.

    Raises:
        ValueError: the job has none.
    """
    result = facts.embeddings
    if result is None:
        raise ValueError("only a job that has embeddings can be shown as a list of them")
    shown = to_base64 if facts.body.get("encoding_format") == "base64" else list
    tokens = result.usage.input_tokens
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": shown(vector)}
            for index, vector in enumerate(result.vectors)
        ],
        "model": facts.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _inputs(value: Any) -> tuple[str | tuple[int, ...], ...]:
    if isinstance(value, str):
        return (_text(value, "input"),)
    if not isinstance(value, list):
        raise wrong_type("input", "a string or an array")
    if not value:
        raise wrong_value("input", "it is empty.")
    if _is_token(value[0]):
        return (_tokens(value, "input"),)
    if len(value) > MAX_INPUTS:
        raise wrong_value("input", f"it holds more than {MAX_INPUTS} inputs.")
    first = value[0]
    if not isinstance(first, str | list):
        raise wrong_type("input[0]", "a string, a token or an array of tokens")
    if isinstance(first, str):
        return tuple([_text(item, f"input[{place}]") for place, item in enumerate(value)])
    return tuple([_tokens(item, f"input[{place}]") for place, item in enumerate(value)])


def _text(value: Any, at: str) -> str:
    if not isinstance(value, str):
        raise wrong_type(at, "a string, as the first input is")
    if not value:
        raise wrong_value(at, "it is empty.")
    return value


def _tokens(value: Any, at: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(_is_token(item) for item in value):
        raise wrong_type(at, "an array of tokens, which are integers from 0")
    if not value:
        raise wrong_value(at, "it is empty.")
    return tuple(value)


def _is_token(value: Any) -> bool:
    # True is an int to Python, but not a number to JSON
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
