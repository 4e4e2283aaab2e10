"""Scripts and reads of the cache over one connection to Redis: what is wanted at the same moment shares a round trip.

A pool hands a connection out and takes it back with locks and a timer of its own for every command, which costs more
than the command. Here one connection stays in hand, and one timer bounds a whole round trip.

Whatever is wrong with Redis is no answer (None): the cache saves money, it must not cost an answer. Where Redis is slow
or away it is left alone for some seconds.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import structlog
from hiredis import pack_command
from redis.exceptions import NoScriptError, ResponseError

from penstock import tasks
from penstock.redis import Redis, RedisConnectionError, RedisError

#: a round trip that takes longer than this is no answer. More than a process that just started is late by itself: it
#: would take its own lateness for that of Redis
_PATIENCE = 2.0
#: seconds for which Redis is left alone after it failed
_PAUSE = 5.0
#: commands of one round trip: those that come meanwhile wait for the next one
_MOST = 50
_log = structlog.get_logger()

Command = tuple[str | bytes | int, ...]


class RoundTrips:
    """Commands for a Redis, answered in order. Belongs to one event loop.

    `scripts` are the texts that EVALSHA may name. Every command must bear being sent twice: after a lost connection it
    is not known whether it was carried out.
    """

    def __init__(self, redis: Redis, scripts: Sequence[str]) -> None:
        self._pool = redis.connection_pool
        self._scripts = scripts
        self._connection: Any = None  # redis-py names no type for what its pool gives
        self._waiting: deque[tuple[Command, asyncio.Future[Any]]] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._pause_until = 0.0

    def ask(self, *command: str | bytes | int) -> "asyncio.Future[Any]":
        """The answer to a command, None where there is none."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if time.monotonic() < self._pause_until:
            future.set_result(None)
            return future
        self._waiting.append((command, future))
        if self._sender is None:
            self._sender = loop.create_task(self._send_all())
        return future

    async def close(self) -> None:
        """Send what waits, and stop; who waits for longer than a round trip may take gets no answer."""
        if self._sender is not None:
            await asyncio.wait([self._sender], timeout=_PATIENCE)
        if self._sender is not None:
            await tasks.end(self._sender)
        await self._drop()

    async def _send_all(self) -> None:
        batch: list[tuple[Command, asyncio.Future[Any]]] = []
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))]
                answers = await self._round_trip([command for command, _ in batch])
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)
        finally:
            self._sender = None
            for _, future in (*batch, *self._waiting):
                if not future.done():
                    future.set_result(None)
            self._waiting.clear()

    async def _round_trip(self, commands: Sequence[Command]) -> Sequence[Any]:
        if time.monotonic() < self._pause_until:
            return [None] * len(commands)
        try:
            async with asyncio.timeout(_PATIENCE):
                try:
                    answers = await self._exchange(commands)
                except (RedisConnectionError, OSError, NoScriptError):
                    # The server began anew, or closed what it took for idle: a new connection knows the scripts again.
                    await self._drop()
                    answers = await self._exchange(commands)
        except (RedisError, OSError, TimeoutError) as error:
            self._leave_alone(error)
            await self._drop()
            return [None] * len(commands)
        refused = next((answer for answer in answers if isinstance(answer, ResponseError)), None)
        if refused is None:
            return answers
        self._leave_alone(refused)
        return [None if isinstance(answer, ResponseError) else answer for answer in answers]

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, refusals among them.

        Raises:
            NoScriptError: the server does not know the scripts.
            RedisError: there is no connection, or it was lost.
        """
        if self._connection is None:
            self._connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
            commands = [*(("SCRIPT", "LOAD", text) for text in self._scripts), *commands]
            return (await self._exchange(commands))[len(self._scripts) :]
        connection = self._connection
        packed = b"".join([pack_command(command) for command in commands])  # type: ignore[arg-type]  # its stub: one word
        await connection.send_packed_command(packed, check_health=False)
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(await connection.read_response())
            except ResponseError as error:
                answers.append(error)
        unknown = next((answer for answer in answers if isinstance(answer, NoScriptError)), None)
        if unknown is not None:
            raise unknown
        return answers

    def _leave_alone(self, error: Exception) -> None:
        _log.warning("the cache does without Redis", error=f"{type(error).__name__}: {error}"[:200])
        self._pause_until = time.monotonic() + _PAUSE

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)
