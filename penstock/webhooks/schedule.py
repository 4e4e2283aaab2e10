"""When a failed delivery is tried again. Pure."""

from collections.abc import Sequence

#: each delay is drawn from this share of its step, so that deliveries that failed together do not return together
JITTER_FROM = 0.8
JITTER_TO = 1.2


def retry_delay(schedule: Sequence[float], attempts: int, draw: float) -> float | None:
    """Seconds until the next attempt, after `attempts` (1 or more) have failed; None when the schedule has ended.

    `draw` is a random number from 0 to 1.
    """
    if attempts > len(schedule):
        return None
    return schedule[attempts - 1] * (JITTER_FROM + (JITTER_TO - JITTER_FROM) * draw)
