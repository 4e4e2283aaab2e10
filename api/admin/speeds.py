"""What calls to deployments were like lately, as Prometheus reads it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric

from penstock.routing.router import Live


@dataclass(frozen=True, slots=True, eq=False)  # the registry keeps its collectors in a dict
class SpeedSnapshot:
    """One moment of the live statistics, in the form that the client library collects."""

    live: Live

    def collect(self) -> Iterator[Metric]:
        """Of the newest calls of each deployment: how many, how many failed, and how long they took."""
        calls = GaugeMetricFamily(
            "penstock_recent_calls", "Newest calls that are looked at.", labels=["model", "outcome"]
        )
        seconds = GaugeMetricFamily("penstock_recent_seconds", "How long they took.", labels=["model", "quantile"])
        first = GaugeMetricFamily(
            "penstock_recent_first_token_seconds",
            "Until their first token, where streamed.",
            labels=["model", "quantile"],
        )
        rate = GaugeMetricFamily("penstock_recent_tokens_per_second", "The median rate of answers.", labels=["model"])
        for model, seen in (self.live or {}).items():
            calls.add_metric([model, "answered"], seen.calls)
            calls.add_metric([model, "failed"], seen.failures)
            if not seen.calls:
                continue
            for quantile, whole, start in (
                ("0.5", seen.seconds_p50, seen.first_token_p50),
                ("0.95", seen.seconds_p95, seen.first_token_p95),
            ):
                seconds.add_metric([model, quantile], whole)
                first.add_metric([model, quantile], start)
            if math.isfinite(seen.tokens_per_second_p50):
                rate.add_metric([model], seen.tokens_per_second_p50)
        yield from (calls, seconds, first, rate)
