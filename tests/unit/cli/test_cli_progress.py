import io
import time

import pytest
from rich.console import Console

from cli.progress import BatchProgress, Pace, duration, expectation, figures, money


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_pace_is_that_of_the_window() -> None:
    """What happened before the window no longer counts."""
    clock = Clock()
    pace = Pace(window=10, clock=clock)
    for second in range(40):
        clock.now = second
        pace.see(100 * min(second, 20) + 2 * max(0, second - 20))
    assert pace.rate == pytest.approx(2.0)
    assert pace.seconds_for(50) == pytest.approx(25.0)


def test_nothing_is_promised_without_a_pace() -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    pace.see(0)
    assert (pace.rate, pace.seconds_for(10)) == (0.0, None)
    clock.now = 5.0
    pace.see(0)
    assert (pace.rate, pace.seconds_for(10)) == (0.0, None)


def test_figures_say_rows_speed_tokens_spend_and_time_left() -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    pace.see(0)
    clock.now = 10.0
    pace.see(300)
    batch = {
        "status": "in_progress",
        "request_counts": {"total": 1200, "completed": 290, "failed": 10},
        "usage": {"total_tokens": 45678},
        "cost": 0.01234,
    }
    expected = "300/1,200 rows (10 failed) · 30.0 rows/s · 45,678 tokens · $0.0123 · 0:30 left"
    assert figures(batch, pace) == expected
    ended = figures(batch | {"status": "cancelled"}, pace)
    assert ended == "300/1,200 rows (10 failed) · 45,678 tokens · $0.0123"


def test_what_the_server_expects_goes_before_the_pace() -> None:
    pace = Pace()
    batch = {
        "status": "in_progress",
        "request_counts": {"total": 10, "completed": 1, "failed": 0},
        "estimated_completion_at": time.time() + 725.4,
        "warning": None,
    }
    assert figures(batch, pace) == "1/10 rows · 12:05 left"
    assert figures(batch | {"warning": "Late."}, pace) == "1/10 rows · 12:05 left · too late for its window"
    assert figures(batch | {"status": "expired", "warning": "Late."}, pace) == "1/10 rows"
    assert expectation(batch).endswith(", in 12:05")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (725, "12:05"), (11220, "3:07:00")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("dollars", "text"), [(0, "$0.0000"), (0.01239, "$0.0124"), (1234.5, "$1,234.50")])
def test_money(dollars: float, text: str) -> None:
    assert money(dollars) == text


def test_without_a_terminal_there_are_plain_lines() -> None:
    output = io.StringIO()
    with BatchProgress(Console(file=output, width=120), below="what was streamed") as progress:
        progress.update({"status": "validating"})
        progress.update(
            {"status": "completed", "request_counts": {"total": 2, "completed": 2, "failed": 0}, "cost": 0.5}
        )
    text = output.getvalue()
    assert "validating: 0/0 rows" in text
    assert "2/2 rows · $0.5000" in text
    assert "what was streamed" in text
    assert "\x1b" not in text
