"""What an answer costs, in US dollars: the configured price, else the public list price, else unknown.

List prices come from the `genai-prices` package. Unknown is None, never zero.
"""

from decimal import Decimal

import genai_prices

from penstock.completion.usage import Usage
from penstock.configuration import Price

_MILLION = Decimal(1_000_000)


def cost(usage: Usage, price: Price | None, upstream_model: str, base_url: str) -> Decimal | None:
    """The cost of one answer; cached input is charged at its own price where there is one."""
    if price is not None:
        return _configured(usage, price)
    return _listed(usage, upstream_model, base_url)


def _configured(usage: Usage, price: Price) -> Decimal:
    plain = Decimal(str(price.input))
    cached = Decimal(str(price.cached_input)) if price.cached_input is not None else plain
    fresh_tokens = usage.input_tokens - usage.cached_tokens
    total = fresh_tokens * plain + usage.cached_tokens * cached + usage.output_tokens * Decimal(str(price.output))
    return total / _MILLION


def _listed(usage: Usage, upstream_model: str, base_url: str) -> Decimal | None:
    counts = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    try:
        return genai_prices.calc_price(counts, upstream_model, provider_api_url=base_url).total_price
    except LookupError:
        return None
