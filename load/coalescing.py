"""A batch with repeated lines, over several workers of which one is killed: who was called more than once, and why.

    python -m load.coalescing [--lines 10000] [--distinct 7000] [--workers 4] [--kill-after 2000]

Every call beyond one for each distinct line must have a reason that nobody can help: the one before it was under way in
the worker that died, so its answer reached nobody. Anything else is a fault, and is shown.
"""

import argparse
import os
import random
import signal
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
from rich.console import Console
from rich.table import Table

from load import report
from load.engine import MODEL, BenchFailed, Penstock, bench_config, throwaway_folder
from load.simulated import started

#: An answer that its worker had for less than this may not have been kept yet, where other work keeps it from its
#: processor. An answer that was kept and not found would be older.
_UNKEPT_SECONDS = 1.0
#: within this a busy provider has read what lay in its sockets; later the port may be another's
_LATE_SECONDS = 5.0
_LIMIT_SECONDS = 600.0
#: of so many questions without an explanation all calls are written down
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Death:
    """A worker that was stopped at a moment (seconds since 1970) and then killed, and the ports it called from.

    At those of `unread` there lay something that it had not read yet.
    """

    at: float
    ports: frozenset[int]
    unread: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Repeats:
    """The calls beyond the first for each question, by what became of the one before.

    `under_way`: it was not answered yet when its worker stopped, or the answer lay unread. `unkept`: it was answered in
    the last moment before, `oldest` seconds at most, and not kept yet. `unexplained` are the questions of all others.
    """

    under_way: int
    unkept: int
    unexplained: list[str]
    oldest: float = 0.0


def explain(calls: Sequence[dict[str, Any]], death: Death | None) -> Repeats:
    """Why questions were asked again. `calls` are those of `load.witness`."""
    asked: dict[str, list[dict[str, Any]]] = {}
    for call in sorted(calls, key=lambda call: call["came"]):
        asked.setdefault(call["asked"], []).append(call)
    before = [one for several in asked.values() for one in several[:-1]]
    last = {call["port"]: call for call in calls if death is not None and call["came"] <= death.at}
    reasons = [(_reason(one, death, is_last=last.get(one["port"]) is one), one) for one in before]
    counts = Counter(reason for reason, _ in reasons)
    ages = [death.at - one["ended"] for reason, one in reasons if death is not None and reason == "unkept"]
    return Repeats(
        counts["under way"],
        counts["unkept"],
        [one["asked"] for reason, one in reasons if reason == "unexplained"],
        max(ages, default=0.0),
    )


def _reason(before: dict[str, Any], death: Death | None, *, is_last: bool) -> str:
    """`is_last`: the worker asked nothing else over the same connection before it stopped."""
    if death is None or before["port"] not in death.ports:
        return "unexplained"
    # A request that the provider read late was sent before all the same, and answered to nobody.
    if before["ended"] is None or death.at < before["came"] < death.at + _LATE_SECONDS:
        return "under way"
    if before["came"] > death.at:
        return "unexplained"
    if before["ended"] > death.at or (is_last and before["port"] in death.unread):
        return "under way"
    return "unkept" if death.at - before["ended"] < _UNKEPT_SECONDS else "unexplained"


def calls_of(witness: str) -> list[dict[str, Any]]:
    """What the witness at this address has written down."""
    with urllib.request.urlopen(f"{witness}/calls", timeout=60) as answer:
        found: list[dict[str, Any]] = orjson.loads(answer.read())
        return found


def kill_busiest(workers: Collection[int], port: int) -> Death:
    """Kill the worker with the most connections to a port. It is stopped first, so that its ports can be read."""
    busiest = max(workers, key=lambda pid: len(_ports(pid, port)))
    os.kill(busiest, signal.SIGSTOP)
    death = Death(time.time(), _ports(busiest, port), _unread())
    os.kill(busiest, signal.SIGKILL)
    return death


def _ports(pid: int, port: int) -> frozenset[int]:
    connections = psutil.Process(pid).net_connections("tcp")
    return frozenset(one.laddr.port for one in connections if one.raddr and one.raddr.port == port)


def _unread() -> frozenset[int]:
    """The local ports of this machine at which something waits to be read; none where the system does not say."""
    table = Path("/proc/net/tcp")
    if not table.exists():
        return frozenset()
    rows = [row.split() for row in table.read_text("ascii").splitlines()[1:]]
    return frozenset(int(row[1].split(":")[1], 16) for row in rows if int(row[4].split(":")[1], 16))


def lines(count: int, distinct: int, *, seed: int = 7) -> tuple[bytes, dict[str, str]]:
    """A batch file in which `distinct` questions stand in `count` lines, and the question of each custom_id."""
    chance = random.Random(seed)
    numbers = [*range(distinct), *(chance.randrange(distinct) for _ in range(count - distinct))]
    chance.shuffle(numbers)
    questions = {f"line-{place}": f"What of {number}?" for place, number in enumerate(numbers)}
    rows = [
        orjson.dumps(
            {
                "custom_id": custom_id,
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": MODEL, "temperature": 0, "messages": [{"role": "user", "content": question}]},
            }
        )
        for custom_id, question in questions.items()
    ]
    return b"\n".join(rows) + b"\n", questions


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the batch, kill in the middle of it.

    Raises:
        BenchFailed: a line has no answer.
    """
    file, questions = lines(options.lines, options.distinct)
    deaths: list[Death] = []
    with started("load.witness", str(options.latency_ms)) as witness:
        config = bench_config(f"{witness}/v1", {"permits": options.permits})
        with Penstock(folder, config, workers=options.workers) as penstock:

            def kill() -> None:
                while len(calls_of(witness)) < options.kill_after:
                    time.sleep(0.05)
                bulk = penstock.snapshot().processes["bulk worker"]
                deaths.append(kill_busiest(bulk, int(witness.rsplit(":", 1)[1])))

            killing = threading.Thread(target=kill, daemon=True)
            if options.kill_after:
                killing.start()
            run = penstock.run_batch(file, options.lines, _LIMIT_SECONDS)
        calls = calls_of(witness)
    logs = "".join(log.read_text("utf-8", "replace") for log in (folder / "data" / "logs").glob("*.log"))
    death = deaths[0] if deaths else None
    repeats = explain(calls, death)
    answers: dict[str, set[str]] = {}
    for custom_id, text in run.answers.items():
        answers.setdefault(questions[custom_id], set()).add(text)
    return {
        "options": vars(options),
        "machine": report.machine(),
        "seconds": round(run.create_to_end, 1),
        "distinct": options.distinct,
        "calls": len(calls),
        "at the kill": {
            "calls under way": sum(_open_at(call, death.at) for call in calls) if death else 0,
            "of them in the worker that died": sum(
                _open_at(call, death.at) and call["port"] in death.ports for call in calls
            )
            if death
            else 0,
        },
        "asked again": asdict(repeats),
        "unexplained": {question: _told(calls, question, death) for question in repeats.unexplained[:_SHOWN]},
        "times a worker did without Redis": logs.count("the cache does without Redis"),
        "questions with two answers": sum(len(texts) > 1 for texts in answers.values()),
    }


def _told(calls: Sequence[dict[str, Any]], question: str, death: Death | None) -> list[dict[str, Any]]:
    """The calls for one question, with times in seconds from the death."""
    zero = death.at if death is not None else 0.0
    return [
        {
            "came": round(call["came"] - zero, 3),
            "ended": round(call["ended"] - zero, 3) if call["ended"] is not None else None,
            "from a port of the dead": death is not None and call["port"] in death.ports,
        }
        for call in calls
        if call["asked"] == question
    ]


def _open_at(call: dict[str, Any], at: float) -> bool:
    return bool(call["came"] <= at and (call["ended"] is None or call["ended"] > at))


def main() -> int:
    """Measure, print, write; 1 where a call has no explanation."""
    parser = argparse.ArgumentParser(prog="python -m load.coalescing", description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--distinct", type=int, default=7_000)
    parser.add_argument("--workers", type=int, default=4, help="bulk worker processes")
    parser.add_argument("--permits", type=int, default=400, help="calls at once of one worker process")
    parser.add_argument("--kill-after", type=int, default=2_000, help="calls until a worker is killed; 0: none is")
    parser.add_argument("--latency-ms", type=float, default=150.0, help="median of the provider's")
    parser.add_argument("--keep", action="store_true", help="keep the data folder with its logs")
    options = parser.parse_args()
    try:
        with throwaway_folder("coalescing", keep=options.keep) as folder:
            result = measure(options, folder)
    except BenchFailed as failed:
        print(f"coalescing: {failed}", file=sys.stderr)
        return 1
    table = Table(title=f"{options.lines} lines, {options.distinct} distinct, {options.workers} workers")
    for name in ("what", "number"):
        table.add_column(name)
    again = result["asked again"]
    for name, value in [
        ("calls", result["calls"]),
        *result["at the kill"].items(),
        ("asked again: was under way in the worker that died", again["under_way"]),
        ("asked again: its answer was not kept yet", again["unkept"]),
        ("the oldest of these answers, ms", round(again["oldest"] * 1000)),
        ("asked again, unexplained", len(again["unexplained"])),
        ("times a worker did without Redis", result["times a worker did without Redis"]),
        ("questions with two answers", result["questions with two answers"]),
        ("seconds", result["seconds"]),
    ]:
        table.add_row(name, str(value))
    Console().print(table)
    print(f"written to {report.write('coalescing', [result]).name}")
    return 1 if again["unexplained"] else 0


if __name__ == "__main__":
    sys.exit(main())
