"""How far a batch is: rows, speed, tokens, spend and the time that is left, live on a terminal."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.text import Text

TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})

#: the speed shown is that of the last so many seconds
_WINDOW_SECONDS = 10.0
#: where there is no terminal, a plain line every so many seconds
_LINE_SECONDS = 5.0


class Pace:
    """Rows per second over the last `window` seconds, from counts seen now and then."""

    def __init__(self, window: float = _WINDOW_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._window = window
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, done: int) -> None:
        """So many rows are done now."""
        now = self._clock()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= self._window:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Rows per second; 0 as long as nothing is known."""
        if len(self._seen) < 2:
            return 0.0
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        return (last - first) / (ended - began) if ended > began else 0.0

    def seconds_for(self, rows: int) -> float | None:
        """How long `rows` more take at this pace, None when there is none."""
        return rows / self.rate if self.rate > 0 else None


class BatchProgress:
    """Shows one batch while it runs. Use as a context manager, and `update` it with each batch object polled.

    `below` is shown under the bar and drawn anew with it. Without a terminal there are plain lines instead of a bar,
    and `below` once at the end.
    """

    def __init__(self, console: Console, below: RenderableType | None = None) -> None:
        self._console = console
        self._pace = Pace()
        self._bar = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=48),
            TaskProgressColumn(),
            console=console,
        )
        self._task = self._bar.add_task("batch", total=None)
        self._figures = Text()
        shown: list[RenderableType] = [self._bar, self._figures]
        if below is not None:
            shown.append(below)
        self._live = Live(Group(*shown), console=console, refresh_per_second=10)
        self._last_line = -_LINE_SECONDS

    def __enter__(self) -> "BatchProgress":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        if not self._console.is_terminal:
            self._console.print()  # there rich ends without one

    def update(self, batch: Mapping[str, Any]) -> None:
        """Show a batch object as the API gives it."""
        done, total = rows_done(batch)
        self._pace.see(done)
        text = figures(batch, self._pace)
        self._bar.update(self._task, description=str(batch["status"]), completed=done, total=total or None)
        self._figures.plain = f"  {text}"
        if not self._console.is_terminal and time.monotonic() - self._last_line >= _LINE_SECONDS:
            self._last_line = time.monotonic()
            self._console.print(f"  {batch['status']}: {text}", highlight=False, soft_wrap=True)


def rows_done(batch: Mapping[str, Any]) -> tuple[int, int]:
    """Rows answered, successfully or not, and rows in all; both 0 while the file is being checked."""
    counts = batch.get("request_counts") or {}
    return counts.get("completed", 0) + counts.get("failed", 0), counts.get("total", 0)


def figures(batch: Mapping[str, Any], pace: Pace) -> str:
    """Rows, speed, tokens, spend and time left, as far as they are known."""
    done, total = rows_done(batch)
    failed = (batch.get("request_counts") or {}).get("failed", 0)
    parts = [f"{done:,}/{total:,} rows" + (f" ({failed:,} failed)" if failed else "")]
    running = batch["status"] not in TERMINAL
    if running and pace.rate:
        parts.append(f"{pace.rate:,.1f} rows/s")
    tokens = (batch.get("usage") or {}).get("total_tokens", 0)
    if tokens:
        parts.append(f"{tokens:,} tokens")
    if "cost" in batch:
        parts.append(money(batch["cost"]) if batch["cost"] is not None else "cost unknown")
    left = seconds_left(batch, pace) if running else None
    if left is not None:
        parts.append(f"{duration(left)} left")
    if running and batch.get("warning"):
        parts.append("too late for its window")
    return " · ".join(parts)


def seconds_left(batch: Mapping[str, Any], pace: Pace) -> float | None:
    """What the server expects, which knows the limits and who else is waiting; else what the pace says, if any."""
    expected = batch.get("estimated_completion_at")
    if expected is not None:
        return max(float(expected) - time.time(), 0.0)
    done, total = rows_done(batch)
    return pace.seconds_for(total - done) if total else None


def expectation(batch: Mapping[str, Any]) -> str:
    """A sentence on when a batch will be done."""
    expected = float(batch["estimated_completion_at"])
    at = datetime.fromtimestamp(expected).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return f"expected to be done at {at}, in {duration(max(expected - time.time(), 0.0))}"


def money(dollars: float) -> str:
    """Dollars, with more digits where the sum is small."""
    return f"${dollars:,.2f}" if dollars >= 100 else f"${dollars:.4f}"


def duration(seconds: float) -> str:
    """`0:42`, `12:05`, `3:07:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
