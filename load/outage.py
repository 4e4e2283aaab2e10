"""A provider dies under load for a minute: what it is still asked, what becomes of the work, how soon it goes on.

    python -m load.outage [--kind status] [--workers 4] [--seconds 60]

A batch runs against a simulated provider; some seconds later every call to it fails (`status`: 503 at once, `reset`:
the connection is dropped), and after a minute it is well again. Once without a fallback, once with another model to
fall back to. What may be asked of a dead provider is what the breaker's defaults say: 5 failures, then 3 probes every
30 s; and calls that were under way when it died.
"""

import argparse
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from load import report
from load.engine import ROOT, BenchFailed, Penstock, throwaway_folder
from load.simulated import faults, provider, stats

_LATENCY_MS = 300.0
_CONCURRENCY = 100
_MODEL, _OTHER = "mortal", "spare"
#: of the outage's begin and end
_BEFORE_SECONDS = 6.0
_LOOK = 0.05
#: the breaker's defaults
_FAILURES, _RESET_SECONDS, _PROBES = 5, 30.0, 3


@dataclass(slots=True)
class Outage:
    """What was seen of the dead provider. Times in seconds."""

    in_flight: int = 0
    asked: int = 0
    #: from its return to its first good answer
    recovered_after: float = -1.0


@dataclass(slots=True)
class Result:
    """One run."""

    kind: str
    fallback: bool
    workers: int
    seconds: float
    rows: int
    makespan: float
    failed: int
    spare_answered: int
    outage: Outage

    @property
    def allowed(self) -> int:
        """How many calls a dead provider may get."""
        return _FAILURES + _PROBES * int(self.seconds // _RESET_SECONDS) + self.outage.in_flight


def rows(count: int) -> bytes:
    """A batch file."""
    lines = []
    for number in range(count):
        body = {"model": _MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": f"[[tokens: 5]] {number}"}]}
        line = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        lines.append(orjson.dumps(line))
    return b"\n".join(lines) + b"\n"


def break_it(url: str, kind: str, seconds: float, seen: Outage, ended: threading.Event) -> None:
    """Wait until work is going on, kill the provider for so long, watch it recover."""
    while stats(url)["in_flight"] < _CONCURRENCY // 2:
        time.sleep(_LOOK)
    time.sleep(_BEFORE_SECONDS)
    before = stats(url)
    faults(url, outage=kind)
    seen.in_flight = before["in_flight"]
    time.sleep(seconds)
    dead = stats(url)
    seen.asked = dead["calls"] - before["calls"]
    faults(url, outage="none")
    back = time.monotonic()
    while stats(url)["by_status"].get("200", 0) == dead["by_status"].get("200", 0) and not ended.is_set():
        time.sleep(_LOOK)
    seen.recovered_after = time.monotonic() - back


def run(kind: str, *, fallback: bool, workers: int, seconds: float) -> Result:
    """One outage.

    Raises:
        BenchFailed: it cannot give a figure.
    """
    capacity = _CONCURRENCY / (_LATENCY_MS / 1000)
    # enough for the time before, a minute at the spare model where there is one, and the time after
    count = int(capacity * (_BEFORE_SECONDS + 10 + (seconds + _RESET_SECONDS if fallback else 0)))
    # calls of one length would come in waves: whether a wave is under way at the death would be chance
    latency = ["--latency-ms", str(_LATENCY_MS), "--latency-distribution", "lognormal"]
    seen, ended = Outage(), threading.Event()
    with throwaway_folder("outage") as folder, provider(*latency) as url, provider(*latency) as spare:
        limits = {"concurrency": _CONCURRENCY}
        config: dict[str, Any] = {
            "providers": {
                "a": {"wire_format": "openai", "base_url": f"{url}/v1", "api_key": "sk-outage-a", "limits": limits},
                "b": {"wire_format": "openai", "base_url": f"{spare}/v1", "api_key": "sk-outage-b"},
            },
            "models": {"first": {"provider": "a"}, _OTHER: {"provider": "b", "limits": limits}},
            "routes": {_MODEL: {"strategy": "fallback", "steps": ["first", _OTHER] if fallback else ["first"]}},
        }
        with Penstock(folder, config, workers=workers) as penstock:
            breaking = threading.Thread(target=break_it, args=(url, kind, seconds, seen, ended))
            breaking.start()
            try:
                made = penstock.run_rows(rows(count), count, seconds * 6 + 300)
            finally:
                ended.set()
                breaking.join()
            answered = stats(spare)["by_status"].get("200", 0)
    return Result(kind, fallback, workers, seconds, count, made.seconds, made.failed, answered, seen)


def main() -> int:
    """Run the cases asked for; 1 if one gave no figure."""
    options = _options()
    found: list[Result] = []
    for kind in options.kind or ("status", "reset"):
        for fallback in (False, True):
            print(f"  {kind}, {'a' if fallback else 'no'} fallback …", file=sys.stderr, flush=True)
            try:
                found.append(run(kind, fallback=fallback, workers=options.workers, seconds=options.seconds))
            except BenchFailed as failed:
                print(f"outage: {failed}", file=sys.stderr)
                return 1
            print(f"    {found[-1]}", file=sys.stderr, flush=True)
    table = Table(title=f"A provider is dead for {options.seconds:g} s, {options.workers} workers")
    names = ("outage", "fallback", "rows", "failed", "in flight", "asked while dead", "allowed", "recovered after")
    for name in names:
        table.add_column(name, justify="left" if name == "outage" else "right")
    for r in found:
        table.add_row(
            r.kind, f"{r.spare_answered} rows" if r.fallback else "none", str(r.rows), str(r.failed),
            str(r.outage.in_flight), str(r.outage.asked), str(r.allowed), f"{r.outage.recovered_after:.1f} s",
        )  # fmt: skip
    Console().print(table)
    path = report.write("outage", [asdict(result) | {"allowed": result.allowed} for result in found])
    print(f"written to {path.relative_to(ROOT)}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load.outage", description=__doc__.splitlines()[0])
    parser.add_argument("--kind", action="append", choices=("status", "reset"), help="may be repeated (default: both)")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
