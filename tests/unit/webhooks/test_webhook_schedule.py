"""The retry schedule."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.configuration import WebhooksConfig
from penstock.webhooks.schedule import JITTER_FROM, JITTER_TO, retry_delay

SCHEDULES = st.lists(st.floats(min_value=0.01, max_value=1e6), max_size=20)
DRAWS = st.floats(min_value=0, max_value=1)


@given(SCHEDULES, DRAWS)
def test_every_step_is_used_once_and_then_it_ends(schedule: list[float], draw: float) -> None:
    delays = [retry_delay(schedule, attempts, draw) for attempts in range(1, len(schedule) + 3)]
    assert all(delay is not None for delay in delays[: len(schedule)])
    assert delays[len(schedule) :] == [None, None]


@given(SCHEDULES.filter(bool), st.data(), DRAWS)
def test_a_delay_stays_near_its_own_step(schedule: list[float], data: st.DataObject, draw: float) -> None:
    attempts = data.draw(st.integers(1, len(schedule)))
    delay = retry_delay(schedule, attempts, draw)
    step = schedule[attempts - 1]
    assert delay is not None
    assert step * JITTER_FROM * 0.999 <= delay <= step * JITTER_TO * 1.001


def test_draws_spread_deliveries() -> None:
    assert retry_delay([10], 1, 0.0) != retry_delay([10], 1, 1.0)


@given(st.lists(DRAWS, min_size=11, max_size=11))
def test_the_default_schedule_keeps_the_contract(draws: list[float]) -> None:
    """First retry within about 5 s, two within 60 s, the end within 72 h, whatever the jitter."""
    schedule = WebhooksConfig().retry_schedule
    assert len(schedule) == len(draws)
    delays = [retry_delay(schedule, attempts, draw) or 0.0 for attempts, draw in enumerate(draws, 1)]
    assert delays[0] <= 5
    assert delays[0] + delays[1] <= 60
    assert sum(delays) <= 72 * 3600
