"""`/metrics`: the state of the whole as Prometheus reads it, gathered when it is asked for."""

from collections.abc import Iterator

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from api.admin.learnt import HOURS
from api.admin.route_metrics import of_routes
from api.admin.savings import by_model
from api.admin.speeds import SpeedSnapshot
from api.auth import authenticate_admin
from api.services import Services
from penstock.execution import tally
from penstock.execution.tally import Counted
from penstock.limits.breakers import STATES, Breaker
from penstock.limits.buckets import BucketState, DeploymentLimits, TokenBucket
from penstock.routing.watch import RouteStatus, status, watched
from penstock.store import backlog, workers

router = APIRouter(tags=["admin"])

#: the tally's name, the metric's, and what it is
_SAVINGS = (
    ("cache_saved", "penstock_cache_saved_usd", "The cost of answers that came again."),
    ("prompt_saved", "penstock_prompt_cache_saved_usd", "What input cost less that providers had kept."),
    ("prompt_surcharge", "penstock_prompt_cache_surcharge_usd", "What input cost more that providers kept."),
)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Breakers, quotas, jobs, workers, routes, what the guard found and what caches saved; with the admin key."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    config = services.settings.config
    buckets = list(dict.fromkeys(b for name in config.models for b in DeploymentLimits.of(config, name).buckets))
    snapshot = _Snapshot(
        await services.breakers.states(),
        (await services.quota.look(buckets)).buckets if buckets else {},
        await backlog.unfinished(services.database),
        await workers.present(services.database),
        await tally.read(services.redis),
        [await status(services.database, services.learnt, route, HOURS) for route in watched(config)],
    )
    registry = CollectorRegistry()
    registry.register(snapshot)
    registry.register(SpeedSnapshot(await services.router.speeds.known(config.models)))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Snapshot:
    """One moment of the system, in the form that the client library collects."""

    def __init__(
        self,
        breakers: list[Breaker],
        buckets: dict[TokenBucket, BucketState | None],
        jobs: dict[tuple[str, str], int],
        present: dict[str, int],
        counted: dict[Counted, float],
        routes: list[RouteStatus],
    ) -> None:
        self._breakers = breakers
        self._buckets = buckets
        self._jobs = jobs
        self._present = present
        self._counted = counted
        self._routes = routes

    def collect(self) -> Iterator[Metric]:
        """Every metric with its samples."""
        state = GaugeMetricFamily(
            "penstock_breaker_state", "1 for the state a circuit breaker is in.", labels=["upstream", "state"]
        )
        changes = CounterMetricFamily(
            "penstock_breaker_transitions", "How often a breaker came to a state.", labels=["upstream", "state"]
        )
        for breaker in self._breakers:
            for name in STATES:
                state.add_metric([str(breaker.gate.scope), name], float(breaker.state == name))
                changes.add_metric([str(breaker.gate.scope), name], breaker.became[name])
        yield state
        yield changes
        yield from self._quota()
        jobs = GaugeMetricFamily("penstock_jobs", "Unfinished jobs.", labels=["model", "state"])
        for labels, count in self._jobs.items():
            jobs.add_metric(labels, count)
        yield jobs
        present = GaugeMetricFamily("penstock_workers", "Worker processes that beat lately.", labels=["lane"])
        for lane, count in self._present.items():
            present.add_metric([lane], count)
        yield present
        found = CounterMetricFamily(
            "penstock_guard_findings",
            "What the guard found, and what happened to it.",
            labels=["check", "kind", "action"],
        )
        for (name, *described), amount in self._counted.items():
            if name == "guard":
                found.add_metric(described, amount)
        yield found
        yield from self._cache()
        yield from of_routes(self._routes)

    def _cache(self) -> Iterator[Metric]:
        asked = CounterMetricFamily(
            "penstock_cache_requests",
            "Cacheable requests, by where the answer came from.",
            labels=["source", "model"],
        )
        for (name, *described), amount in self._counted.items():
            if name == "cache":
                asked.add_metric(described, amount)
        yield asked
        for name, metric, about in _SAVINGS:
            family = CounterMetricFamily(metric, about, labels=["model"])
            for model, amount in by_model(self._counted, name).items():
                family.add_metric([model], amount)
            yield family

    def _quota(self) -> Iterator[Metric]:
        labels = ["scope", "resource"]
        limit = GaugeMetricFamily("penstock_quota_per_minute", "The configured limit.", labels=labels)
        level = GaugeMetricFamily("penstock_quota_level", "What can be taken now; a debt when negative.", labels=labels)
        others = GaugeMetricFamily("penstock_quota_others_per_minute", "What others seem to use of it.", labels=labels)
        for bucket, found in self._buckets.items():
            named = [str(bucket.scope), bucket.resource]
            limit.add_metric(named, bucket.per_minute)
            if found is not None:
                level.add_metric(named, found.level)
                others.add_metric(named, (bucket.rate - found.rate) * 60_000)
        yield from (limit, level, others)
