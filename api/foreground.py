"""Foreground calls: a job through the interactive lane, with the client waiting on the connection."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import structlog
from fastapi import Request

from api.auth import Principal
from api.response_headers import add_headers
from api.services import Services
from api.tier_limits import check_tier
from api.watch import Entry, Watch, cancel, wait_for_end
from penstock.completion.events import PartDelta, PartStarted
from penstock.dialects.facts import JobFacts
from penstock.errors import PenstockError, Unavailable, stored_error
from penstock.store import jobs
from penstock.streams.entries import Ended, Reset, Started
from penstock.submission.results import facts_of

#: an error that comes sooner than this is an ordinary HTTP error; after that a stream is opened for its heartbeats
OPEN_SECONDS = 5.0

_log = structlog.get_logger()


async def answer(
    services: Services, request: Request, principal: Principal, dialect: str, body: dict[str, Any]
) -> JobFacts:
    """Run a request to its end.

    Raises:
        PenstockError: it is wrong, or it failed; the status is the caller's.
    """
    submitted = await services.submission.prepare(
        principal.tenant_id, dialect, body, interactive=True, stream=False, residency=principal.residency
    )
    await check_tier(services, request, principal, submitted.job.tokens)
    async with Watch(services, submitted.job.id, foreground=True) as watch:
        await services.submission.store(submitted)
        watch.begin()
        row = await wait_for_end(services, watch, request, principal.tenant_id)
    facts = successful(facts_of(row))
    tell_cache(request, facts.cache)
    return facts


def successful(facts: JobFacts) -> JobFacts:
    """The facts of a job that succeeded.

    Raises:
        PenstockError: how it ended instead.
    """
    if facts.state == "succeeded":
        return facts
    if facts.error is not None:
        raise stored_error(facts.error)
    raise Unavailable(f"The request was {facts.state}.")


def tell_cache(request: Request, cached: str | None) -> None:
    """Say in the answer's headers what the cache came to, where it was asked."""
    if cached is not None:
        add_headers(request, {"x-penstock-cache": cached})


class ForegroundStream:
    """A streamed foreground call. `open` raises what fails early; `frames` gives the rest.

    Without `keep` the job is deleted at its end, before that is told.
    """

    def __init__(self, services: Services, request: Request, principal: Principal, *, keep: bool = True) -> None:
        self._keep = keep
        self._services = services
        self._request = request
        self._principal = principal
        self._stack = contextlib.AsyncExitStack()
        self._watch: Watch
        self._early: list[Entry] = []
        self.facts: JobFacts

    async def open(self, dialect: str, body: dict[str, Any]) -> JobFacts:
        """Submit, and wait a moment for the first chunk.

        Raises:
            PenstockError: the request is wrong, or failed before its first chunk.
        """
        submitted = await self._services.submission.prepare(
            self._principal.tenant_id,
            dialect,
            body,
            interactive=True,
            stream=True,
            residency=self._principal.residency,
        )
        await check_tier(self._services, self._request, self._principal, submitted.job.tokens)
        watch = Watch(self._services, submitted.job.id, foreground=True)
        self._watch = await self._stack.enter_async_context(watch)
        try:
            created_at = await self._services.submission.store(submitted)
            self._watch.begin()
            self.facts = JobFacts(
                id=submitted.job.id,
                created_at=int(created_at.timestamp()),
                finished_at=None,
                state="running",
                started=True,
                background=False,
                model=submitted.job.model,
                body=body,
                result=None,
                error=None,
            )
            await self._first()
            tell_cache(self._request, self._watch.cached)
        except BaseException:
            _detached(self._stop())
            raise
        return self.facts

    async def _first(self) -> None:
        deadline = asyncio.get_running_loop().time() + OPEN_SECONDS
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            entry = await self._watch.next(left)
            if entry is None:
                return
            if isinstance(entry, Ended) and entry.state != "succeeded":
                successful(await self.load())
            self._early.append(entry)
            if not isinstance(entry, Started):
                return

    async def frames(
        self,
        on_start: Callable[[], list[bytes]],
        on_event: Callable[[PartStarted | PartDelta], list[bytes]],
        on_end: Callable[[JobFacts], list[bytes]],
        *,
        on_silence: Callable[[], list[bytes]] = lambda: [b": keep-alive\n\n"],
        on_lost: Callable[[], list[bytes]] = list,
    ) -> AsyncIterator[bytes]:
        """The frames of the stream; closing it early cancels the job.

        `on_silence` gives a sign of life, `on_lost` the end of a stream whose worker died: the answer begins anew, and
        what was sent of the first one cannot be taken back.
        """
        ended = False
        try:
            async for entry in self._entries():
                if entry is None:
                    yield b"".join(on_silence())
                elif isinstance(entry, Started):
                    yield b"".join(on_start())
                elif isinstance(entry, Ended):
                    ended = True
                    facts = await self.load()
                    if not self._keep:
                        await jobs.delete(self._services.database, self._principal.tenant_id, facts.id)
                    yield b"".join(on_end(facts))
                    return
                elif isinstance(entry, Reset):
                    _log.warning("a foreground stream lost its worker", job=self.facts.id.hex)
                    yield b"".join(on_lost())
                    return
                else:
                    yield b"".join(on_event(entry))
        finally:
            _detached(self._stack.aclose() if ended else self._stop())

    async def load(self) -> JobFacts:
        """The job as Postgres has it."""
        row = await jobs.load(self._services.database, self._principal.tenant_id, self.facts.id)
        if row is None:
            raise PenstockError("The job was deleted while it ran.")
        return facts_of(row)

    async def _entries(self) -> AsyncIterator[Entry | None]:
        for early in self._early:
            yield early
        async for entry in self._watch.entries():
            yield entry

    async def _stop(self) -> None:
        """The client is gone, or never got an answer: its call is closed."""
        await self._stack.aclose()
        await cancel(self._services, self._principal.tenant_id, self._watch.job_id)


#: clean-ups under way; the loop itself keeps only weak references
_CLEANING: set[asyncio.Task[None]] = set()


def _detached(work: Coroutine[None, None, None]) -> None:
    """Clean up in a task of its own: the request's task is being cancelled, again at every await."""
    task = asyncio.create_task(work)
    _CLEANING.add(task)
    task.add_done_callback(_CLEANING.discard)
