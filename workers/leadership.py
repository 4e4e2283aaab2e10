"""The dispatcher process: one leads by a lease, all deliver webhooks."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import structlog

from penstock import broker
from penstock.errors import Unavailable
from penstock.http import make_client
from penstock.ids import new_id
from penstock.limits.quota import Quota
from penstock.limits.truth import SpentBy
from penstock.providers.deployments import Deployments
from penstock.redis import Redis, RedisError, connect
from penstock.routing.router import Router
from penstock.routing.speeds import Speeds
from penstock.settings import Settings
from penstock.store import workers as worker_store
from penstock.store.database import POOL_SIZE, Database
from penstock.submission.doorbells import WAKE_CHANNEL
from penstock.tasks import end
from penstock.webhooks import Deliverer, ManagedReceivers, SecretKeys, receivers_client
from workers import dispatcher as dispatching
from workers.dispatcher import Dispatcher
from workers.forecasts import Forecasts
from workers.maintenance import Maintenance, every

LEASE = "dispatcher"
LEASE_SECONDS = 5.0

_log = structlog.get_logger()


async def lead(database: Database, leading: asyncio.Event) -> None:
    """Hold or wait for the lease, until cancelled; `leading` says which."""
    holder = new_id()
    try:
        while True:
            try:
                held = await worker_store.hold_lease(database, LEASE, holder, LEASE_SECONDS)
            except Unavailable:
                held = False
            if held and not leading.is_set():
                _log.info("this dispatcher leads")
                leading.set()
            elif not held:
                leading.clear()
            await asyncio.sleep(LEASE_SECONDS / 3)
    finally:
        await worker_store.drop_lease(database, LEASE, holder)


async def listen(redis: Redis, wake: asyncio.Event) -> None:
    """Set `wake` at every ring, until cancelled."""
    while True:
        try:
            async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                await pubsub.subscribe(WAKE_CHANNEL)
                while True:
                    if await pubsub.get_message(timeout=5.0):
                        wake.set()
        except (RedisError, OSError) as error:
            _log.warning("rings: Redis is away, looking by the clock", error=type(error).__name__)
            await asyncio.sleep(1.0)


async def serve(settings: Settings) -> None:
    """Run a dispatcher process until SIGTERM or SIGINT."""
    config = settings.config
    database = Database(settings.database_url, size=POOL_SIZE["dispatcher"], name="dispatcher")
    await database.open()
    redis = connect(settings.redis_url)
    doorbell = broker.Doorbell(broker.make_app(settings.broker_url, list(config.providers)))
    deployments = Deployments(config)
    quota = Quota(redis, SpentBy(database, deployments.upstreams()))
    wake, leading, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()
    dispatcher = Dispatcher(database, doorbell, quota, Router(config, deployments, Speeds(redis)))
    forecasts = Forecasts(database, quota, config)
    sweeps = Maintenance(database, redis, doorbell, deployments, config)
    client = make_client(config.webhooks.timeout)
    outward = receivers_client(config.webhooks)
    managed = ManagedReceivers(database, config.webhooks, outward, SecretKeys(settings.secret_keys))
    deliverer = Deliverer(database, config.webhooks, client, managed)
    work: list[Coroutine[Any, Any, None]] = [
        lead(database, leading),
        listen(redis, wake),
        dispatching.run(dispatcher, wake, leading),
        every(1.0, leading, sweeps.tend_batches),
        every(1.0, leading, sweeps.end_batches),
        every(1.0, leading, sweeps.stop_jobs),
        every(2.0, leading, forecasts.look_and_rest),
        every(2.0, leading, sweeps.find_lost_rings),
        every(2.0, leading, sweeps.find_dead_workers),
        every(10.0, leading, sweeps.wake_flows),
        every(60.0, leading, sweeps.prune_webhooks),
        every(600.0, leading, sweeps.forget_idempotency_keys),
        every(5.0, leading, sweeps.purge_batches),
        every(60.0, leading, sweeps.prune_files),
        every(60.0, leading, sweeps.prune_jobs),
        every(60.0, leading, sweeps.prune_routes),
        every(5.0, leading, sweeps.compare_shadows),
        every(300.0, leading, sweeps.prune_cache),
        deliverer.run(stop, None),
    ]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(part) for part in work]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception()]
    await end(stopping, *tasks)
    await client.aclose()
    await outward.aclose()
    await quota.close()
    await redis.aclose()
    await database.close()
    doorbell.close()
    for task in failed:
        task.result()
