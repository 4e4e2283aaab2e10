"""What workers have seen of a deployment lately, as policies read it. Keeping it in Redis is the limits' matter."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one model: seconds to the first token and tokens per second by percentile, and how many calls they rest on."""

    calls: int
    first_token_p50: float
    first_token_p95: float
    tokens_per_second_p50: float
    available: bool = True

    def seconds(self, output_tokens: int, careful: bool = False) -> float:
        """How long an answer of this length takes; `careful` takes the 95th percentile of the first token."""
        first = self.first_token_p95 if careful else self.first_token_p50
        return first + output_tokens / max(self.tokens_per_second_p50, 1e-6)


def explored(
    names: Sequence[str], known: Mapping[str, Statistics], share: float, least_calls: int, draw: random.Random
) -> str | None:
    """A model to try although it is not known to be best: with chance `share`, the one with the fewest calls.

    Only models with fewer than `least_calls` are tried: what is known well needs no exploration. None otherwise.
    """
    rare = [name for name in names if (known[name].calls if name in known else 0) < least_calls]
    if not rare or draw.random() >= share:
        return None
    return min(rare, key=lambda name: known[name].calls if name in known else 0)
