"""What must hold after any number of kills. Each rule is pure, and gives a sentence for everything that breaks it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})
#: outcomes and errors of attempts that the provider may never have seen
_UNSEEN_OUTCOMES = frozenset({"cancelled"})
_UNSEEN_ERRORS = frozenset({"ProviderTimeout", "ProviderUnreachable"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One upstream call in Penstock's journal."""

    epoch: int
    step: int
    worker: str
    outcome: str
    error_type: str | None = None

    @property
    def surely_seen(self) -> bool:
        """Whether the provider must have counted it."""
        return self.outcome not in _UNSEEN_OUTCOMES and self.error_type not in _UNSEEN_ERRORS


@dataclass(slots=True)
class Job:
    """A job as the database has it in the end; `tag` names it in its prompt."""

    id: str
    tag: str
    state: str
    epoch: int
    worker: str | None
    recoveries: int
    attempts: list[Attempt] = field(default_factory=list)
    #: why it failed
    error_code: str | None = None

    @property
    def lost_worker(self) -> bool:
        """Whether a worker was lost that had it: its calls then are in no journal."""
        return self.recoveries > 0 or self.error_code == "stream_lost"


@dataclass(frozen=True, slots=True)
class Calls:
    """What the provider counted for one tag: calls that it could read, and those that it answered in full."""

    calls: int
    succeeded: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as its owner sees it: its object, and the custom_ids in its files."""

    id: str
    status: str
    total: int
    completed: int
    failed: int
    expected: Sequence[str]
    output: Sequence[str]
    errors: Sequence[str]


@dataclass(frozen=True, slots=True)
class Read:
    """What one subscriber read of a stream to its end: the numbers of its events, and the last event's type."""

    job_id: str
    numbers: Sequence[int]
    text: str
    ended: str
    stored_text: str
    stored_status: str

    @property
    def cut_off(self) -> bool:
        """Whether it was told that the stream cannot go on: allowed where Redis was lost together with the worker."""
        return self.ended == "error"


def every_job_ended(accepted: Iterable[str], jobs: Mapping[str, Job]) -> list[str]:
    """Every job that was accepted is there, and every job that is there has ended."""
    found = [f"{job_id}: accepted, and gone" for job_id in accepted if job_id not in jobs]
    return found + [f"{job.id} ({job.tag}): still {job.state}" for job in jobs.values() if job.state not in TERMINAL]


def every_line_answered_once(batches: Iterable[Batch]) -> list[str]:
    """Every custom_id of a batch is in one of its files exactly once, and nothing else is."""
    found = []
    for batch in batches:
        answered, asked = Counter([*batch.output, *batch.errors]), Counter(batch.expected)
        found += [f"{batch.id}: {name} asked {asked[name]} times, answered {answered[name]}"
                  for name in answered.keys() | asked.keys() if answered[name] != asked[name]]  # fmt: skip
    return sorted(found)


def counts_equal_files(batches: Iterable[Batch]) -> list[str]:
    """The counts in a batch's object are those of its files."""
    found = []
    for batch in batches:
        if batch.status != "completed":
            found.append(f"{batch.id}: {batch.status}")
        counted = (batch.total, batch.completed, batch.failed)
        in_files = (len(batch.expected), len(batch.output), len(batch.errors))
        if counted != in_files:
            found.append(f"{batch.id}: counts {counted}, files {in_files} (total, completed, failed)")
    return found


def no_stale_result(jobs: Iterable[Job]) -> list[str]:
    """A job that succeeded did so by a call of the epoch and worker that own it in the end."""
    found = []
    for job in jobs:
        owners = {(attempt.epoch, attempt.worker) for attempt in job.attempts if attempt.outcome == "succeeded"}
        if job.state == "succeeded" and (job.epoch, job.worker) not in owners:
            found.append(
                f"{job.id} ({job.tag}): ended in epoch {job.epoch}, answered in {sorted(e for e, _ in owners)}"
            )
    return found


def each_event_delivered(expected: Iterable[str], received: Iterable[tuple[str, str, str]]) -> list[str]:
    """Every object that ended is told of at least once, and every event has one id however often it is sent.

    `received` are (webhook id, event type, object id).
    """
    ids: dict[tuple[str, str], set[str]] = {}
    for webhook_id, kind, object_id in received:
        ids.setdefault((object_id, kind), set()).add(webhook_id)
    told = {object_id for object_id, _ in ids}
    found = [f"{object_id}: no webhook came" for object_id in expected if object_id not in told]
    found += [f"{object_id}: {kind} has {len(names)} ids" for (object_id, kind), names in ids.items() if len(names) > 1]
    kinds = Counter(object_id for object_id, _ in ids)
    return found + [f"{object_id}: {count} different ends were told" for object_id, count in kinds.items() if count > 1]


def no_glued_stream(reads: Iterable[Read]) -> list[str]:
    """What a subscriber read is what is stored, and the end that it was told is the end that is stored.

    One that was told that its stream cannot go on (`cut_off`) has no end and is not held to the text.
    """
    found = []
    for read in reads:
        if list(read.numbers) != list(range(len(read.numbers))):
            found.append(f"{read.job_id}: events came out of order: {read.numbers[:80]}")
        if read.cut_off:
            continue
        if read.text != read.stored_text:
            found.append(f"{read.job_id}: read {read.text[:60]!r} …, stored {read.stored_text[:60]!r} …")
        if read.ended != read.stored_status:
            found.append(f"{read.job_id}: told {read.ended}, stored {read.stored_status}")
    return found


def journal_equals_ledger(jobs: Iterable[Job], ledger: Mapping[str, Calls]) -> list[str]:
    """Penstock's journal of calls is the provider's ledger, but for the calls that died with their worker.

    No call is written down twice, none that was not made, and no answer that was not given; and every call that was
    made is written down, unless its worker was lost.
    """
    found = []
    for job in jobs:
        seen = ledger.get(job.tag, Calls(0, 0))
        keys = Counter((attempt.epoch, attempt.step, attempt.worker) for attempt in job.attempts)
        found += [f"{job.id} ({job.tag}): call {key} is in the journal {n} times" for key, n in keys.items() if n > 1]
        sure = sum(attempt.surely_seen for attempt in job.attempts)
        answered = sum(attempt.outcome == "succeeded" for attempt in job.attempts)
        if sure > seen.calls or answered > seen.succeeded:
            found.append(f"{job.id} ({job.tag}): journal {sure} calls, {answered} answers; ledger {seen}")
        if not job.lost_worker and seen.calls > len(job.attempts):
            found.append(f"{job.id} ({job.tag}): {len(job.attempts)} calls in the journal, {seen.calls} were made")
    return found


def repeated_only_in_flight(jobs: Iterable[Job], ledger: Mapping[str, Calls]) -> list[str]:
    """An answer was paid for twice only where the job was in the hands of a worker that was lost."""
    return [
        f"{job.id} ({job.tag}): answered {ledger[job.tag].succeeded} times, never recovered"
        for job in jobs
        if job.tag in ledger and ledger[job.tag].succeeded > 1 and not job.lost_worker
        and not any(attempt.outcome != "succeeded" and not attempt.surely_seen for attempt in job.attempts)
    ]  # fmt: skip
