"""The entries of a token stream, and the names of its keys.

A stream belongs to one epoch of a job: entries are numbered from 1 without gaps. Number 1 says the work started, the
last says how it ended; it is added after the end was committed.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from penstock.completion.encoding import dumps, loads
from penstock.completion.events import PartDelta, PartStarted, event_from_json, event_to_json
from penstock.redis import PREFIX


@dataclass(frozen=True, slots=True)
class Started:
    """A worker began to work on the job."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Another epoch took over: what was read so far no longer counts. Made by the reader, never stored."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The job is terminal, and Postgres says how."""

    state: str


@dataclass(frozen=True, slots=True)
class Cached:
    """What the cache came to for the answer that follows: `hit`, `coalesced` or `miss`."""

    how: str


StreamEntry = Started | Cached | PartStarted | PartDelta | Ended


def encode(entry: StreamEntry) -> list[Any]:
    """A short JSON array."""
    if isinstance(entry, Started):
        return ["s"]
    if isinstance(entry, Cached):
        return ["c", entry.how]
    if isinstance(entry, Ended):
        return ["e", entry.state]
    return event_to_json(entry)


def decode(value: list[Any]) -> StreamEntry:
    """The inverse of `encode`."""
    if value[0] == "s":
        return Started()
    if value[0] == "c":
        return Cached(value[1])
    if value[0] == "e":
        return Ended(value[1])
    return event_from_json(value)


def buffer_key(job_id: UUID, epoch: int, worker_id: UUID) -> str:
    """The Redis Stream that holds the entries of one epoch.

    Epoch and worker together: after a failover of Postgres two workers may have won the same epoch.
    """
    return f"{PREFIX}stream:{job_id.hex}:{epoch}:{worker_id.hex}"


def channel(job_id: UUID) -> str:
    """Where entries are published as they are added."""
    return f"{PREFIX}live:{job_id.hex}"


def wanted_key(job_id: UUID) -> str:
    """Set while somebody waits for a job's stream: a bulk line is then called with streaming."""
    return f"{PREFIX}wanted:{job_id.hex}"


def control_channel() -> str:
    """Where workers hear that a job or a batch is to stop."""
    return f"{PREFIX}control"


def publication(epoch: int, worker_id: UUID, sequence: int, entries: list[list[Any]]) -> bytes:
    """The published form: entries numbered from `sequence`."""
    return dumps([epoch, worker_id.hex, sequence, entries])


def read_publication(data: bytes) -> tuple[int, str, int, list[list[Any]]]:
    """The inverse of `publication`."""
    epoch, worker, sequence, entries = loads(data)
    return epoch, worker, sequence, entries
