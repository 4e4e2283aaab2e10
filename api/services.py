"""What every route needs: made when the process starts, closed when it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog

from penstock import broker, tasks
from penstock.broker import Doorbell
from penstock.errors import Unavailable
from penstock.limits.breakers import Breakers
from penstock.limits.quota import Quota
from penstock.limits.truth import SpentBy
from penstock.providers.deployments import Deployments
from penstock.redis import Redis, connect
from penstock.routing.learnt import LearntPolicies
from penstock.routing.router import Router
from penstock.routing.speeds import Speeds
from penstock.settings import Settings
from penstock.store import tenants
from penstock.store.database import POOL_SIZE, Database
from penstock.streams.reader import StreamReader
from penstock.submission.jobs import Submission
from penstock.webhooks import ManagedWebhooks, SecretKeys

#: the tenant of the admin key and of keys that name none
DEFAULT_TENANT = "default"

_log = structlog.get_logger()


@dataclass(slots=True)
class Services:
    """The connections of one API process and the engine's use cases on top of them."""

    settings: Settings
    database: Database
    redis: Redis
    reader: StreamReader
    doorbell: Doorbell
    deployments: Deployments
    router: Router
    submission: Submission
    quota: Quota
    breakers: Breakers
    webhooks: ManagedWebhooks
    learnt: LearntPolicies


async def _ensure_tenants(database: Database, tiers: dict[str, str]) -> None:
    """As soon as the database answers: an API that starts while it is restarted waits for it."""
    while True:
        try:
            await tenants.ensure_tenants(database, tiers)
            return
        except Unavailable as error:
            _log.warning("waiting for the database", error=error.message)
            await asyncio.sleep(1.0)


@contextlib.asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Connect everything, and close it in the end."""
    config = settings.config
    database = Database(settings.database_url, size=POOL_SIZE["api"], name="api")
    await database.open()
    redis = connect(settings.redis_url, size=50)
    reader = StreamReader(connect(settings.redis_url, size=4))
    doorbell = Doorbell(broker.make_app(settings.broker_url, list(config.providers)))
    deployments = Deployments(config)
    learnt = LearntPolicies.stored(config.routes, database)
    router = Router(config, deployments, Speeds(redis), learnt)
    quota = Quota(redis, SpentBy(database, deployments.upstreams()))
    listening = tasks.essential(reader.run())
    tiers = {DEFAULT_TENANT: "unlimited", **{key.tenant: key.tier for key in config.keys}}
    await _ensure_tenants(database, tiers)
    await learnt.start()
    looking = tasks.essential(learnt.run())
    try:
        yield Services(
            settings=settings,
            database=database,
            redis=redis,
            reader=reader,
            doorbell=doorbell,
            deployments=deployments,
            router=router,
            submission=Submission(database, redis, doorbell, router),
            quota=quota,
            breakers=Breakers(redis, quota, config),
            webhooks=ManagedWebhooks(database, config.webhooks, SecretKeys(settings.secret_keys)),
            learnt=learnt,
        )
    finally:
        await tasks.end(listening, looking)
        await reader.close()
        await quota.close()
        await redis.aclose()
        await database.close()
        doorbell.close()
