"""Celery: the one application, its queues, and the thread that rings doorbells.

A message carries the ids of a slice of jobs, never the work (docs/job-lifecycle.md). The settings were measured with
Celery 5.7 on Redis and RabbitMQ; each says why.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from amqp.exceptions import ChannelError
from celery import Celery
from kombu.entity import Exchange, Queue
from kombu.exceptions import OperationalError

from penstock.errors import Unavailable

RUN_SLICE = "penstock.run_slice"
INGEST = "penstock.ingest"
INGEST_QUEUE = "ingest"

_SECONDS = 2.0
_NOT_FOUND = "404"


def queue_name(lane: str, provider: str) -> str:
    """Each provider has two queues, one per lane."""
    return f"{lane}.{provider}"


def lane_queues(lane: str, providers: Sequence[str]) -> list[str]:
    """The queues a worker of a lane listens to; bulk workers also read batch files."""
    names = [queue_name(lane, provider) for provider in providers]
    return [*names, INGEST_QUEUE] if lane == "bulk" else names


def _queue(name: str) -> Queue:
    # a routing key of its own: without one Celery binds every queue to the same key, and each message goes to all
    exchange = Exchange("penstock", type="direct")  # type: ignore[no-untyped-call]
    return Queue(name, exchange, routing_key=name)  # type: ignore[no-untyped-call]


def make_app(broker_url: str, providers: Sequence[str]) -> Celery:
    """The application: queues follow the configured providers."""
    app = Celery("penstock", broker=broker_url, set_as_current=False)
    names = [name for lane in ("bulk", "interactive") for name in lane_queues(lane, providers)]
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_queues=[_queue(name) for name in names],
        task_create_missing_queues=False,
        # with late acks a worker dies when Redis is lost while its threads are busy, and a reconnect runs slices twice
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        # it gives the prefetch count back from the pool's threads, which then wait on the channel that the consumer
        # reads: after a restart of RabbitMQ a worker was seen to stand still for ever, and to beat
        worker_enable_prefetch_count_reduction=False,
        task_ignore_result=True,
        result_backend=None,
        # Flower lives on events
        worker_send_task_events=True,
        task_send_sent_event=True,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # a Redis that is full, or a replica for a moment, refuses commands: without this the worker ends for it. What
        # RabbitMQ refuses, such as a queue of another kind, no waiting cures
        broker_channel_error_retry=broker_url.startswith("redis"),
        broker_transport_options=_transport_options(broker_url),
        # a sender must not hang on a frozen broker: a ring that fails is found by the sweep
        broker_connection_timeout=_SECONDS,
        task_publish_retry=False,
    )
    return app


def _transport_options(broker_url: str) -> dict[str, Any]:
    if not broker_url.startswith("redis"):
        return {}
    return {
        "queue_order_strategy": "round_robin",
        "socket_timeout": _SECONDS,
        "socket_connect_timeout": _SECONDS,
        "health_check_interval": 10,
    }


class Doorbell:
    """Rings queues from a thread of its own: a send blocks 1–2 ms, which no event loop should."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="doorbell")

    async def ring(self, lane: str, provider: str, deployment: str, ids: Sequence[UUID]) -> None:
        """Send the ids of one slice to a provider's queue.

        Raises:
            Unavailable: the broker did not take it; the jobs must go back to pending.
        """
        await self._send(RUN_SLICE, [deployment, lane, [job_id.hex for job_id in ids]], queue_name(lane, provider))

    async def ring_ingest(self, batch_id: UUID) -> None:
        """Ask a bulk worker to read a batch's file. Raises as `ring`."""
        await self._send(INGEST, [batch_id.hex], INGEST_QUEUE)

    async def depth(self, queue: str) -> int:
        """Messages that wait in a queue. Raises as `ring`."""
        return int(await self._run(lambda: self._depth(queue)))

    async def ping(self) -> None:
        """Connect to the broker. Raises as `ring`."""
        await self._run(self._connect)

    def close(self) -> None:
        """Stop the thread; what it was sending is sent first."""
        self._thread.shutdown(wait=True)

    def _depth(self, queue: str) -> int:
        with self._app.connection_for_read() as connection:
            try:
                declared = connection.default_channel.queue_declare(queue, passive=True)
            except ChannelError as error:
                # in Redis a queue without messages does not exist
                if str(error.reply_code) == _NOT_FOUND:  # kombu has it as text
                    return 0
                raise
            return int(declared.message_count)

    def _connect(self) -> None:
        with self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=_SECONDS)

    async def _send(self, task: str, args: list[Any], queue: str) -> None:
        await self._run(lambda: self._app.send_task(task, args=args, queue=queue, retry=False))

    async def _run(self, call: Callable[[], Any]) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except (OperationalError, OSError) as error:
            raise Unavailable("The broker cannot be reached.") from error
