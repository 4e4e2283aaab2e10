"""A part of Penstock that is away is no fault of a job."""

from datetime import UTC, datetime

import pytest

from penstock.configuration import Config
from penstock.errors import Unavailable
from penstock.execution.call import Deferred
from penstock.execution.pipeline import Pipeline
from penstock.execution.record import CallRecord
from penstock.execution.tally import Tally
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
        "models": {"m": {"provider": "p"}},
    }
)


class Away:
    """A caller that cannot learn what its quota was used for."""

    async def complete(self, *_: object) -> None:
        raise Unavailable("The database cannot be reached.")

    def shut_for(self, _: str) -> float:
        return 0.0


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
    return Pipeline(CONFIG, Deployments(CONFIG), Away(), Away(), Guard(CONFIG.guard), Tally(redis), learnt, watch)


async def test_queued_work_goes_back_to_the_backlog():
    job = claimed("bulk")
    with pytest.raises(Deferred):
        await pipeline().run(job, CallRecord(job.id, 1), None)


async def test_a_client_that_waits_is_told():
    job = claimed("interactive")
    finished = await pipeline().run(job, CallRecord(job.id, 1), None)
    assert (finished.state, finished.status_code) == ("failed", 503)
