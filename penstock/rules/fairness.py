"""Start-time fair queueing over the heads of flows.

Each flow has a virtual time: tokens taken ÷ weight. Work leaves in order of virtual time, a quantum of jobs at a turn;
a flow that was idle comes back at the clock of the moment, so it neither catches up nor is punished.
Source: P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queueing", SIGCOMM 1996.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

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


def rejoin(virtual_time: float, clock: float) -> float:
    """The virtual time of a flow that may have been idle."""
    return max(virtual_time, clock)
