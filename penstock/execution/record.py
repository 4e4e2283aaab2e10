"""What the calls of one job came to, also of those that were closed before their end."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID

from penstock.completion import ResultBuilder
from penstock.completion.step import RouteStep
from penstock.completion.usage import Usage
from penstock.execution.shadow import Sample
from penstock.rules import prices
from penstock.rules.estimates import plain_input
from penstock.store.finish import Attempt

#: what the cache came to, where no call was made for this job
HITS = frozenset({"hit", "coalesced", "semantic"})


@dataclass(slots=True)
class CallRecord:
    """What one job's calls came to; filled while they happen, so that a cancelled job's share is known too.

    `failures` are the failed attempts at the present deployment that count, those of earlier claims included. `cached`
    says what the cache came to: `hit`, `coalesced`, `semantic`, `miss`; None where it was not asked. `keeping` are the
    entries that are on their way to others: the job must not end before they are there.
    """

    job_id: UUID
    epoch: int
    failures: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    builder: ResultBuilder = field(default_factory=ResultBuilder)
    emitted: bool = False
    cached: str | None = None
    keeping: "list[asyncio.Task[None]]" = field(default_factory=list)
    #: when the first chunk of the present attempt came (monotonic clock)
    first: float | None = None
    #: what its route's earlier steps answered
    earlier: Sequence[RouteStep] = ()
    #: what models that were asked at the same time answered, beside the one whose answer the job has
    beside: list[RouteStep] = field(default_factory=list)
    #: of its calls, those that are written down already, or were made for an earlier claim whose answers are used here
    recorded: "list[Attempt | RouteStep]" = field(default_factory=list)
    #: what is to be asked of the strong model once the job has ended
    sample: Sample | None = None

    def absorb(self, other: "CallRecord") -> None:
        """Take over the attempts of calls that were made for the same job beside its own."""
        for attempt in other.attempts:
            self.attempts.append(replace(attempt, step=len(self.attempts)))
        self.recorded += other.recorded
        self.keeping += other.keeping
        other.attempts, other.recorded, other.keeping = [], [], []

    def give_away(self) -> list[Attempt]:
        """The attempts so far, to be written down before the others of the claim; they stay part of what was paid."""
        given, self.attempts = self.attempts, []
        self.recorded += given
        return given

    @property
    def paid(self) -> "list[Attempt | RouteStep]":
        """All calls that this claim pays for."""
        return [*self.recorded, *self.attempts]

    async def kept(self) -> None:
        """Wait until everybody else can find what is kept of this job's answer."""
        if self.keeping:
            await asyncio.wait(self.keeping)

    def read_so_far(self, input_tokens: int) -> Usage:
        """The usage of a call that ended before the provider told it: the prompt, as estimated, and what was read.

        A provider bills both. What it had written without sending it, as for an answer that is not streamed, nobody
        but the provider knows; it is not counted.
        """
        written = sum(len(part.text.encode("utf-8", "surrogatepass")) for part in self.builder.build().parts)
        return Usage(input_tokens, plain_input(written, messages=0))

    def first_token_ms(self, began: float) -> int | None:
        """Milliseconds from there to the first chunk of the present attempt, None where none came."""
        return int((self.first - began) * 1000) if self.first else None

    @property
    def own_usage(self) -> Usage:
        """Of the calls of this claim together: failed ones may have cost tokens too."""
        return Usage.together(call.usage for call in self.paid)

    @property
    def own_cost(self) -> Decimal | None:
        """Of the calls of this claim together, None where it is not known. What the cache answers costs nothing."""
        cost = prices.together(self.paid)
        if cost is None and self.cached in HITS and not any(one.outcome == "succeeded" for one in self.paid):
            return Decimal(0)
        return cost

    def cost_of(self, deployment: str) -> Decimal | None:
        """Of the last call there that succeeded, None where there is none or its cost is not known."""
        done = [one for one in self.attempts if one.deployment == deployment and one.outcome == "succeeded"]
        return done[-1].cost if done else None

    @property
    def usage(self) -> Usage:
        """Of all that led to the job's end: this claim's attempts and the route's earlier steps."""
        return Usage.together([self.own_usage, *(step.usage for step in self.earlier)])

    @property
    def cost(self) -> Decimal | None:
        """As `usage`, in US dollars, None where it is not known."""
        cost = prices.together([*self.earlier, *self.paid])
        return self.own_cost if cost is None and not self.earlier else cost


@contextmanager
def aside(record: CallRecord) -> Iterator[CallRecord]:
    """A record for calls that are not the answer itself (vectors, a judge): they are paid for with the job.

    Their failures do not count towards the job's own retries.
    """
    calls = CallRecord(record.job_id, record.epoch)
    try:
        yield calls
    finally:
        for attempt in calls.attempts:
            record.attempts.append(replace(attempt, step=len(record.attempts)))
