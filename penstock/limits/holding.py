"""What a process holds in Redis beyond one moment: places of leases and probes of gates, kept alive meanwhile."""

import asyncio
from collections.abc import Sequence

from penstock import tasks
from penstock.limits import calls
from penstock.limits.buckets import Gate, Lease
from penstock.limits.memory import MemoryScripts
from penstock.limits.scripts import Scripts
from penstock.limits.sharing import patiently

#: seconds between renewals: several fit into the time after which a place is given up
RENEW_SECONDS = 2.0


class Holding:
    """The places and probes of one process. Belongs to one event loop; renews only while something is held."""

    def __init__(self, scripts: Scripts | MemoryScripts) -> None:
        self._scripts = scripts
        self._held: dict[Lease, set[str]] = {}
        self._probes: dict[Gate, set[str]] = {}
        self._freed: dict[Lease, asyncio.Event] = {}
        self._renewing: asyncio.Task[None] | None = None

    def add(self, reservation_id: str, leases: Sequence[Lease], gate: Gate | None) -> None:
        """A reservation got its places; `gate` when it is a probe of it."""
        for lease in leases:
            self._held.setdefault(lease, set()).add(reservation_id)
        if gate is not None:
            self._probes.setdefault(gate, set()).add(reservation_id)
        if (leases or gate is not None) and self._renewing is None:
            self._renewing = asyncio.create_task(self._renew())

    def drop(self, reservation_id: str, leases: Sequence[Lease], gate: Gate) -> None:
        """A reservation ended; its places are renewed no more."""
        for lease in leases:
            self._held.get(lease, set()).discard(reservation_id)
        self._probes.get(gate, set()).discard(reservation_id)

    def free(self, leases: Sequence[Lease]) -> None:
        """Redis has it that places became free: wake who waits for one here."""
        for lease in leases:
            event = self._freed.pop(lease, None)
            if event is not None:
                event.set()

    async def freed(self, leases: Sequence[Lease], seconds: float) -> None:
        """Wait until this process gives a place back, for so many seconds at the most."""
        event = asyncio.Event()
        for lease in leases:
            event = self._freed.setdefault(lease, event)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return  # another process may have

    async def close(self) -> None:
        """Renew no more."""
        if self._renewing is not None:
            await tasks.end(self._renewing)

    async def _renew(self) -> None:
        try:
            while True:
                await asyncio.sleep(RENEW_SECONDS)
                held = {lease: ids for lease, ids in self._held.items() if ids}
                probes = {gate: ids for gate, ids in self._probes.items() if ids}
                if not held and not probes:
                    return
                keys, arguments = calls.renew_call(held, probes)
                await patiently(lambda k=keys, a=arguments: self._scripts.renew(k, a))  # type: ignore[misc]
        finally:
            self._renewing = None
