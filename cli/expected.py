"""What a file is expected to come to, model by model, from what the API says of each of its requests. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Span:
    """A figure of which the least and the most are known; `likely` lies between them, None where nobody knows."""

    least: float = 0.0
    most: float = 0.0
    likely: float | None = 0.0

    def add(self, least: float, most: float, likely: float | None) -> None:
        """Some more of it."""
        self.least += least
        self.most += most
        self.likely = None if self.likely is None or likely is None else self.likely + likely


@dataclass(slots=True)
class Share:
    """What one model gets: requests, tokens, and US dollars; `unpriced` are requests whose price is unknown."""

    requests: Span = field(default_factory=Span)
    tokens: Span = field(default_factory=Span)
    cost: Span = field(default_factory=Span)
    unpriced: int = 0

    def add(self, tokens: int, cost: float | None, least: float, likely: float | None) -> None:
        """A request that is asked of the model: surely with `least` 1, perhaps with 0, and with chance `likely`."""
        self.requests.add(least, 1, likely)
        self.tokens.add(least * tokens, tokens, None if likely is None else likely * tokens)
        if cost is None:
            self.unpriced += 1
            return
        self.cost.add(least * cost, cost, None if likely is None else likely * cost)


@dataclass(slots=True)
class Expected:
    """All requests of a file together."""

    requests: int = 0
    models: dict[str, Share] = field(default_factory=dict)
    #: why requests would be refused, and how many for each reason
    refused: dict[str, int] = field(default_factory=dict)
    #: names asked for that escalate, and whether it is known how often
    escalating: dict[str, bool] = field(default_factory=dict)

    def add(self, rehearsed: Mapping[str, Any]) -> None:
        """One request, as the API tells of it."""
        self.requests += 1
        if rehearsed["error"] is not None:
            message = str(rehearsed["error"]["message"])
            self.refused[message] = self.refused.get(message, 0) + 1
            return
        stages = rehearsed["stages"]
        if stages is None:
            self._ask(rehearsed, rehearsed["deployment"], 1.0, 1.0)
            return
        shares = rehearsed["shares"]
        self.escalating[rehearsed["model"]] = shares is not None
        for place, stage in enumerate(stages):
            likely = None if shares is None else shares[place] if place < len(shares) else 0.0
            self._ask(rehearsed, stage[0], 1.0 if place == 0 else 0.0, 1.0 if place == 0 else likely)

    def _ask(self, rehearsed: Mapping[str, Any], model: str, least: float, likely: float | None) -> None:
        tokens = rehearsed["input_tokens"] + rehearsed["output_tokens"]
        self.models.setdefault(model, Share()).add(tokens, rehearsed["costs"][model], least, likely)

    @property
    def cost(self) -> Span:
        """Of all models whose price is known, in US dollars."""
        whole = Span()
        for share in self.models.values():
            whole.add(share.cost.least, share.cost.most, share.cost.likely)
        return whole

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Model, requests, tokens and cost, as a person reads them; the model with the most requests first."""
        for name, share in sorted(self.models.items(), key=lambda row: (-row[1].requests.most, row[0])):
            money = "price unknown" if share.unpriced == share.requests.most else spanned(share.cost, "${:,.4f}")
            yield name, spanned(share.requests, "{:,.0f}"), spanned(share.tokens, "{:,.0f}"), money


def spanned(span: Span, form: str) -> str:
    """The figure; where it is not certain, its range, and about which value is likely."""
    least, most = form.format(span.least), form.format(span.most)
    if least == most:
        return least
    likely = f", about {form.format(span.likely)}" if span.likely is not None else ""
    return f"{least} to {most}{likely}"
