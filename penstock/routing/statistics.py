"""What calls to a deployment were like lately, as policies read it. `speeds.py` keeps it."""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: a call older than this, in seconds, says nothing any more
WINDOW_SECONDS = 300.0
#: the newest calls that are looked at
WINDOW_CALLS = 30
#: failures are looked at for so many seconds: then it may be tried again
_ILL_SECONDS = 30.0
#: as many failed calls, and most of the calls of these seconds, make a deployment ill
_ILL_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """One call that ended: `seconds` in all, `first_token` seconds to the first chunk, None where it was not streamed.

    `tokens` are those of the answer. One that `failed` tells nothing else: the provider's fault, or its refusal for
    quota.
    """

    seconds: float
    tokens: int
    first_token: float | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one deployment: seconds to the first token and tokens per second by percentile, and of how many calls.

    Where few of the calls were streamed, the rate is of the whole call, and the first token comes at once. `available`
    is False while most calls fail. `tokens_p50` is how long its answers are.
    """

    calls: int
    first_token_p50: float
    first_token_p95: float
    tokens_per_second_p50: float
    available: bool = True
    seconds_p50: float = 0.0
    seconds_p95: float = 0.0
    failures: int = 0
    tokens_p50: float = 0.0

    def seconds(self, output_tokens: int, careful: bool = False) -> float:
        """How long an answer of this length takes; `careful` takes the 95th percentile of the first token."""
        first = self.first_token_p95 if careful else self.first_token_p50
        return first + output_tokens / max(self.tokens_per_second_p50, 1e-6)


def summary(samples: Sequence[tuple[float, Sample]]) -> Statistics | None:
    """The statistics of (age in seconds, call) pairs, the newest first; None where there is nothing to say."""
    recent = [(age, sample) for age, sample in samples if age <= WINDOW_SECONDS][:WINDOW_CALLS]
    if not recent:
        return None
    fresh = [sample for age, sample in recent if age <= _ILL_SECONDS]
    failing = sum(sample.failed for sample in fresh)
    ill = failing >= _ILL_FAILURES and 2 * failing > len(fresh)
    answered = [sample for _, sample in recent if not sample.failed]
    failures = len(recent) - len(answered)
    if not answered:
        return Statistics(0, 0.0, 0.0, 0.0, not ill, failures=failures)
    streamed = [sample for sample in answered if sample.first_token is not None]
    told = streamed if 2 * len(streamed) >= len(answered) else [one for one in answered if one.first_token is None]
    first = sorted(_first(sample) for sample in told)
    rates = [rate for sample in told if (rate := _rate(sample)) is not None]
    seconds = sorted(sample.seconds for sample in answered)
    return Statistics(
        calls=len(answered),
        first_token_p50=_at(first, 0.5),
        first_token_p95=_at(first, 0.95),
        # what never writes more than a token takes no time to write
        tokens_per_second_p50=statistics.median(rates) if rates else float("inf"),
        available=not ill,
        seconds_p50=_at(seconds, 0.5),
        seconds_p95=_at(seconds, 0.95),
        failures=failures,
        tokens_p50=_at(sorted(sample.tokens for sample in answered), 0.5),
    )


def explored(
    names: Sequence[str], known: Mapping[str, Statistics], share: float, least_calls: int, draw: random.Random
) -> str | None:
    """A model to try although it is not known to be best: with chance `share`, the one with the fewest calls.

    Only models with fewer than `least_calls` are tried: what is known well needs no exploration, and what mostly fails
    would be tried again and again. None otherwise.
    """
    rare = [name for name in names if name not in known or (known[name].available and known[name].calls < least_calls)]
    if not rare or draw.random() >= share:
        return None
    return min(rare, key=lambda name: known[name].calls if name in known else 0)


def _first(sample: Sample) -> float:
    if sample.first_token is not None:
        return sample.first_token
    return 0.0 if sample.tokens > 1 else sample.seconds


def _rate(sample: Sample) -> float | None:
    if sample.tokens <= 1:
        return None
    return sample.tokens / max(sample.seconds - (sample.first_token or 0.0), 1e-3)


def _at(ordered: Sequence[float], share: float) -> float:
    """The value at this share of sorted ones, the nearest rank."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
