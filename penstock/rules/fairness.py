"""Start-time fair queueing over the heads of flows.

Each flow has a virtual time: tokens taken ÷ weight. Work leaves in order of virtual time, a quantum of jobs at a turn;
a flow that was idle comes back at the clock of the moment, so it neither catches up nor is punished.
Source: P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queueing", SIGCOMM 1996.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

#: jobs a flow may send at one turn; small enough that a handful of jobs never waits for a long slice
QUANTUM = 5


@dataclass(frozen=True, slots=True)
class Contender:
    """A flow that wants to send: its virtual time, its weight, and about how many tokens one job of it takes.

    `most` bounds how many jobs it may send now; None leaves that to the others.
    """

    virtual_time: float
    weight: float
    mean_tokens: float
    most: int | None = None


def share(contenders: Sequence[Contender], slots: int, quantum: int = QUANTUM) -> list[int]:
    """How many of `slots` jobs each contender may send now, in the order given."""
    counts = [0] * len(contenders)
    heap = [(c.virtual_time, index) for index, c in enumerate(contenders)]
    heapq.heapify(heap)
    while slots > 0 and heap:
        virtual_time, index = heap[0]
        contender = contenders[index]
        turn = min(quantum, slots)
        if contender.most is not None:
            turn = min(turn, contender.most - counts[index])
            if turn <= 0:
                heapq.heappop(heap)
                continue
        counts[index] += turn
        slots -= turn
        heapq.heapreplace(heap, (virtual_time + turn * contender.mean_tokens / contender.weight, index))
    return counts


class Turns:
    """Who is next: flows in order of virtual time, of which a few change at a time."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        #: the entry of each flow that counts; what else is in the heap has been moved or dropped
        self._times: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._times)

    def put(self, flow_id: int, virtual_time: float) -> None:
        """Let a flow wait at its virtual time, wherever it waited before."""
        if self._times.get(flow_id) != virtual_time:
            self._times[flow_id] = virtual_time
            heapq.heappush(self._heap, (virtual_time, flow_id))
        if len(self._heap) > 2 * len(self._times) + 64:
            self._heap = [(time, flow) for flow, time in self._times.items()]
            heapq.heapify(self._heap)

    def drop(self, flow_id: int) -> None:
        """A flow waits no more."""
        self._times.pop(flow_id, None)

    def draw(self, count: int) -> list[int]:
        """The next flows, at most `count`, in order. They wait no more until they are put back."""
        drawn: list[int] = []
        while self._heap and len(drawn) < count:
            virtual_time, flow_id = heapq.heappop(self._heap)
            if self._times.get(flow_id) == virtual_time:
                del self._times[flow_id]
                drawn.append(flow_id)
        return drawn


def turned(lines: Sequence[Item], rounds: int) -> list[Item]:
    """The same ones, beginning with another each round."""
    start = rounds % len(lines) if lines else 0
    return [*lines[start:], *lines[:start]]


def rejoin(virtual_time: float, clock: float) -> float:
    """The virtual time of a flow that may have been idle."""
    return max(virtual_time, clock)
