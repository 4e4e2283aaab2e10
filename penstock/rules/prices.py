"""What an answer costs, in US dollars: the configured price, else the public list price, else unknown.

List prices come from the `genai-prices` package. Unknown is None, never zero. Reasoning tokens are output tokens; where
a list has a price of their own for them, it is used.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Protocol

import genai_prices
from genai_prices.types import ModelPrice

from penstock.completion.usage import Usage
from penstock.configuration import Price

_MILLION = Decimal(1_000_000)
#: tokens of a call that no list charges by its length
_FEW = 1000
#: a list price is looked up anew after so many seconds: some change by the hour
_LOOK_UP_SECONDS = 600


class Priced(Protocol):
    """An upstream call that has ended."""

    @property
    def outcome(self) -> str:
        """`succeeded`, or how it ended instead."""
        ...

    @property
    def cost(self) -> Decimal | None:
        """In US dollars, None when no price is known."""
        ...


def together(calls: Iterable[Priced]) -> Decimal | None:
    """The known costs together, None when none is known or that of an answer is not."""
    known = Decimal(0)
    found = False
    for call in calls:
        if call.cost is not None:
            known, found = known + call.cost, True
        elif call.outcome == "succeeded":
            return None
    return known if found else None


def cost(
    usage: Usage, price: Price | None, upstream_model: str, base_url: str, *, discount: float = 0.0
) -> Decimal | None:
    """The cost of one answer. `discount` is the share taken off it: for batches, or as negotiated."""
    full = _configured(usage, price) if price is not None else _listed(usage, upstream_model, base_url)
    if full is None or not discount:
        return full
    return full * (1 - Decimal(str(discount)))


def per_million(
    price: Price | None, upstream_model: str, base_url: str, *, discount: float = 0.0
) -> tuple[float, float] | None:
    """US dollars per million tokens of input and of output, None when no price is known.

    Of a list whose price depends on the length of the prompt, the one of short prompts.
    """
    input_cost = cost(Usage(_FEW, 0), price, upstream_model, base_url, discount=discount)
    output_cost = cost(Usage(0, _FEW), price, upstream_model, base_url, discount=discount)
    if input_cost is None or output_cost is None:
        return None
    return float(input_cost * _MILLION / _FEW), float(output_cost * _MILLION / _FEW)


def of_kept_prompts(
    usage: Usage, price: Price | None, upstream_model: str, base_url: str, *, discount: float = 0.0
) -> tuple[Decimal, Decimal] | None:
    """What an answer cost less because its provider had kept a part of the prompt, and more because it kept one.

    Both are in US dollars, against plain input. None: no price is known.
    """

    def at(cached: int, written: int) -> Decimal | None:
        counts = replace(usage, cached_tokens=cached, cache_write_tokens=written)
        return cost(counts, price, upstream_model, base_url, discount=discount)

    plain, read, wrote = at(0, 0), at(usage.cached_tokens, 0), at(0, usage.cache_write_tokens)
    return (plain - read, wrote - plain) if plain is not None and read is not None and wrote is not None else None


def _configured(usage: Usage, price: Price) -> Decimal:
    """Cached input and input written to the cache are charged at their own prices where there are any."""
    plain = Decimal(str(price.input))
    cached = Decimal(str(price.cached_input)) if price.cached_input is not None else plain
    written = Decimal(str(price.cache_write)) if price.cache_write is not None else plain
    total = (
        (usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens) * plain
        + usage.cached_tokens * cached
        + usage.cache_write_tokens * written
        + usage.output_tokens * Decimal(str(price.output))
    )
    return total / _MILLION


def _listed(usage: Usage, upstream_model: str, base_url: str) -> Decimal | None:
    price = _list_price(upstream_model, base_url, int(time.time() // _LOOK_UP_SECONDS))
    if price is None:
        return None
    counts = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    return price.calc_price(counts)["total_price"]


@lru_cache(maxsize=4096)
def _list_price(upstream_model: str, base_url: str, _period: int) -> ModelPrice | None:
    """The price list's entry; finding it costs more than reckoning with it."""
    try:
        return genai_prices.calc_price(genai_prices.Usage(), upstream_model, provider_api_url=base_url).model_price
    except LookupError:
        return None
