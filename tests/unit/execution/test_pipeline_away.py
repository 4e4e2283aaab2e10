"""What keeps a worker from asking: a part of Penstock that is away, or that a model may not see the data of a job."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from penstock.completion.encoding import dumps, loads
from penstock.completion.step import RouteStep
from penstock.configuration import Config
from penstock.errors import Unavailable
from penstock.execution.call import Deferred
from penstock.execution.pipeline import Pipeline
from penstock.execution.record import CallRecord
from penstock.execution.tally import Tally
from penstock.execution.work import Hop
from penstock.guard.pipeline import Guard
from penstock.ids import new_id
from penstock.providers.deployments import Deployments
from penstock.redis import connect
from penstock.routing.learnt import LearntPolicies
from penstock.routing.watch import RouteWatch
from penstock.store.database import Database
from penstock.store.jobs import ClaimedJob

CONFIG = Config.model_validate(
    {
        "providers": {"p": {"wire_format": "openai", "base_url": "http://127.0.0.1/v1"}},
        "models": {
            "m": {"provider": "p"},
            "house": {"provider": "p", "residency": "eu"},
            "theirs": {"provider": "p", "tenants": ["others"]},
        },
        "tenants": {"bound": {"residency": "eu"}},
    }
)


class Away:
    """A caller that cannot learn what its quota was used for."""

    async def complete(self, *_: object) -> None:
        raise Unavailable("The database cannot be reached.")

    def shut_for(self, _: str) -> float:
        return 0.0


class Nothing:
    """Keeps no early answers: none of these jobs asks several models at once."""

    def keep(self, *_: object) -> None:
        raise AssertionError("nothing is kept here")

    async def of(self, _: object) -> list[RouteStep]:
        return []


def claimed(lane: str) -> ClaimedJob:
    return ClaimedJob(
        id=new_id(), epoch=1, tenant_id="t", tier="unlimited", batch_id=None, custom_id=None, dialect="openai.chat",
        model="m", lane=lane, deployment="m", tokens=1, fallback=None, failures=0, route_step=0, background=False,
        stream=False, created_at=datetime.now(UTC),
        body=b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}',
    )  # fmt: skip


def pipeline() -> Pipeline:
    redis = connect("redis://127.0.0.1:1", size=1)  # nothing is counted here
    learnt = LearntPolicies.given(CONFIG.routes, {})
    watch = RouteWatch(Database("postgresql://127.0.0.1:1/x", size=1, name="test"), learnt)
    return Pipeline(
        CONFIG, Deployments(CONFIG), Away(), Away(), Guard(CONFIG.guard), Tally(redis), learnt, watch, Nothing()
    )


async def test_queued_work_goes_back_to_the_backlog():
    job = claimed("bulk")
    with pytest.raises(Deferred):
        await pipeline().run(job, CallRecord(job.id, 1), None)


async def test_a_client_that_waits_is_told():
    job = claimed("interactive")
    finished = await pipeline().run(job, CallRecord(job.id, 1), None)
    assert (finished.state, finished.status_code) == ("failed", 503)


def bound(deployment: str, left: list[str] | None, *, tenant: str = "t", residency: str | None = None) -> ClaimedJob:
    """A job of which nothing was stored but where it waits, as if the configuration had changed since."""
    body = loads(claimed("bulk").body) | ({"residency": residency} if residency else {})
    return replace(claimed("interactive"), deployment=deployment, fallback=left, tenant_id=tenant, body=dumps(body))


@pytest.mark.parametrize(
    "job",
    [
        bound("m", None, residency="eu"),
        bound("m", None, tenant="bound"),
        bound("theirs", None),
        bound("house", None, residency="us"),
    ],
)
async def test_a_model_that_may_not_see_a_request_is_not_asked(job: ClaimedJob):
    finished = await pipeline().run(job, CallRecord(job.id, 1), None)
    assert (finished.state, finished.status_code) == ("failed", 400)
    error = loads(finished.body)["error"]
    assert error["code"] == "no_model_fits"
    assert f"`{job.deployment}`" in error["message"]


async def test_the_next_one_is_asked_where_there_is_one():
    job = bound("m", ["theirs", "house"], residency="eu")
    with pytest.raises(Hop) as hop:
        await pipeline().run(job, CallRecord(job.id, 1), None)
    assert (hop.value.deployment, hop.value.fallback) == ("theirs", ["house"])
    job = replace(job, deployment="theirs", fallback=["house"])
    with pytest.raises(Hop) as again:
        await pipeline().run(job, CallRecord(job.id, 1), None)
    assert again.value.deployment == "house"


async def test_a_tenant_whose_place_was_changed_since_is_not_served_at_the_old_one():
    job = bound("m", None, tenant="bound", residency="us")
    finished = await pipeline().run(job, CallRecord(job.id, 1), None)
    assert loads(finished.body)["error"]["param"] == "residency"
