"""What is done to the stack, and when: a schedule that a seed decides alone, so that a run can be repeated."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Role = Literal["api", "dispatcher", "bulk worker", "interactive worker", "redis", "postgres"]
Kind = Literal["kill", "freeze", "restart", "forget", "cut"]

#: how often each blow is in one deck; a deck is dealt in random order, so that a short run meets many kinds
_DECK: dict[tuple[Kind, Role], int] = {
    ("kill", "bulk worker"): 7,
    ("kill", "interactive worker"): 3,
    ("kill", "api"): 3,
    ("kill", "dispatcher"): 3,
    ("kill", "redis"): 3,
    ("kill", "postgres"): 3,
    ("freeze", "bulk worker"): 2,
    ("freeze", "interactive worker"): 1,
    ("freeze", "api"): 1,
    ("freeze", "dispatcher"): 1,
    ("freeze", "redis"): 1,
    ("freeze", "postgres"): 1,
    ("restart", "bulk worker"): 2,
    ("restart", "interactive worker"): 1,
    ("restart", "api"): 1,
    ("restart", "dispatcher"): 1,
    ("forget", "redis"): 2,
    ("cut", "redis"): 1,
    ("cut", "postgres"): 1,
}


@dataclass(frozen=True, slots=True)
class Blow:
    """One thing that is done to the stack, `at` seconds after the start.

    kill: SIGKILL, for Postgres an immediate stop. freeze: SIGSTOP, later SIGCONT. restart: SIGTERM. forget: FLUSHALL.
    cut: every connection to the server is ended.
    """

    at: float
    kind: Kind
    role: Role
    #: chooses among the processes of the role
    draw: float

    @property
    def name(self) -> str:
        """How it is listed."""
        return f"{self.kind} {self.role}"


def plan(seed: int, kills: int, mean_seconds: float, kinds: frozenset[str] | None = None) -> list[Blow]:
    """A schedule that holds exactly so many kills, and other blows between them, ending with a kill.

    Blows come at random moments, `mean_seconds` apart on the average and never closer than a quarter of that. With
    `kinds` only blows of these are dealt; it must have `kill` among them.

    Raises:
        ValueError: a schedule without kills was asked for.
    """
    if kills < 1 or (kinds is not None and "kill" not in kinds):
        raise ValueError("a schedule needs at least one kill")
    rng = random.Random(seed)
    blows: list[Blow] = []
    at, dealt = 0.0, 0
    for kind, role in _deal(rng):
        if kinds is not None and kind not in kinds:
            continue
        at += mean_seconds * (0.25 + 0.75 * rng.expovariate(1.0))
        blows.append(Blow(round(at, 3), kind, role, rng.random()))
        dealt += kind == "kill"
        if dealt == kills:
            break
    return blows


def _deal(rng: random.Random) -> Iterator[tuple[Kind, Role]]:
    while True:
        deck = [card for card, times in _DECK.items() for _ in range(times)]
        rng.shuffle(deck)
        yield from deck
