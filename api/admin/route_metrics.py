"""Whether calibrations hold, for `/metrics`."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from penstock.routing.drift import STATES
from penstock.routing.watch import RouteStatus

_RATES = ("escalation", "agreement", "shadow", "strange")


def of_routes(found: Sequence[RouteStatus]) -> Iterator[Metric]:
    """State, rates and the shift of scores of each route, over the hours that were looked at."""
    state = GaugeMetricFamily(
        "penstock_route_state", "1 for the state of a route's calibration.", labels=["route", "state"]
    )
    rate = GaugeMetricFamily(
        "penstock_route_rate",
        "Shares: answers escalated, compared ones that agree, shadow samples that say the same, strange prompts.",
        labels=["route", "of"],
    )
    shift = GaugeMetricFamily(
        "penstock_route_score_shift", "How far learnt scores lie from calibration's.", labels=["route"]
    )
    cost = GaugeMetricFamily("penstock_route_shadow_cost_usd", "What shadow samples cost.", labels=["route"])
    taken = GaugeMetricFamily("penstock_route_shadow_samples", "Shadow samples compared.", labels=["route"])
    for one in found:
        for known in STATES:
            state.add_metric([one.route, known], float(one.drift.state == known))
        for name in _RATES:
            value = one.drift.rates[name].value
            if value is not None:
                rate.add_metric([one.route, name], value)
        if one.drift.shift is not None:
            shift.add_metric([one.route], one.drift.shift)
        cost.add_metric([one.route], float(one.shadows.cost))
        taken.add_metric([one.route], one.shadows.compared)
    yield from (state, rate, shift, cost, taken)
