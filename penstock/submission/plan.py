"""What is decided of a request before it is stored: roughly how many tokens it will take."""

from typing import Any

from penstock.dialects.text_request import MAX_TEXTS
from penstock.rules.estimates import Calibration, plain_input

_FRESH = Calibration()


def request_tokens(body: dict[str, Any], size: int, *, answered: bool = True) -> int:
    """The expected tokens of a body of `size` bytes, before anything was learnt of its model.

    A model that embeds writes no answer (not `answered`). Fair order and windows count in it; the reservation itself
    is made with what the worker has learnt by then.
    """
    return _FRESH.estimate("", plain_input(size), max_tokens(body) if answered else 0, choices(body)).tokens


def max_tokens(body: dict[str, Any]) -> int | None:
    """The limit of the answer, under whichever of its names the dialect uses."""
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        value = body.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return None


def inputs(body: dict[str, Any]) -> int:
    """How many texts a request for embeddings holds; what is no list of texts counts as one, and fails on its own."""
    value = body.get("input")
    return len(value) if isinstance(value, list) and value and not isinstance(value[0], int) else 1


def choices(body: dict[str, Any]) -> int:
    """How many answers are asked for; of several prompts each has its own."""
    value, prompts = body.get("n"), body.get("prompt")
    each = value if isinstance(value, int) and 0 < value <= 128 else 1
    return each * min(len(prompts), MAX_TEXTS) if isinstance(prompts, list) and prompts else each
