"""How well a provider's hard limit is used: makespan beside the ideal, and how often it was overrun.

    python -m load.quota [--case burst-60] [--workers 1 --workers 4] [--tokens-per-minute 120000] [--write]

For each case and number of bulk workers: a simulated provider with a limit in tokens a minute, a batch whose answers
are up to 50 % longer or shorter than one can know, and `penstock up` on a throw-away folder. The ideal is what the
bucket allows: what the provider charged, less what its bucket held at the start, at the rate that is left to us.
"""

import argparse
import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
import orjson
from rich.console import Console
from rich.table import Table

from load import report
from load.engine import ROOT, BenchFailed, Penstock, throwaway_folder
from load.simulated import provider, stats

#: words of a prompt and of an answer, in the mean: some 250 tokens a call
_PROMPT_WORDS, _ANSWER_WORDS = 100, 150
#: answers are between these shares of the mean
_SPREAD = (0.5, 1.5)
_LATENCY_MS = 400.0
_MODEL = "limited"
_KEY = "sk-quota-0123456789"


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of provider. `stated` says whether our configuration knows its burst."""

    name: str
    burst_seconds: float
    charge: str = "estimate"
    others: float = 0.0
    stated: bool = False


CASES = {
    case.name: case
    for case in (
        Case("burst-60", 60),
        Case("burst-5", 5),
        Case("charged-after", 60, charge="actual"),
        Case("others-half", 60, others=0.5),
    )
}


@dataclass(slots=True)
class Result:
    """One run; times in seconds."""

    case: str
    workers: int
    rows: int
    charged_tokens: int
    makespan: float
    ideal: float
    calls: int
    refused: int
    failed: int

    @property
    def ratio(self) -> float:
        """Makespan to ideal."""
        return self.makespan / self.ideal


def rows(count: int, seed: int) -> bytes:
    """A batch file whose answers have a length that only the provider knows, under a common limit."""
    chance = random.Random(seed)
    limit = int(_ANSWER_WORDS * _SPREAD[1])
    lines = []
    for number in range(count):
        words = int(_ANSWER_WORDS * chance.uniform(*_SPREAD))
        text = f"[[tokens: {words}]] {number} " + "word " * (_PROMPT_WORDS + chance.randrange(-50, 51))
        body = {"model": _MODEL, "max_tokens": limit, "messages": [{"role": "user", "content": text}]}
        line = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        lines.append(orjson.dumps(line))
    return b"\n".join(lines) + b"\n"


def options_of(case: Case, per_minute: int) -> list[str]:
    """How the simulated provider is started."""
    return [
        "--tokens-per-minute", str(per_minute), "--burst-seconds", str(case.burst_seconds), "--charge", case.charge,
        "--latency-ms", str(_LATENCY_MS), "--latency-distribution", "lognormal",
    ]  # fmt: skip


@contextmanager
def others(url: str, tokens_per_minute: float) -> Iterator[None]:
    """Somebody else who uses the same account at a steady rate, in a process of its own."""
    if not tokens_per_minute:
        yield
        return
    command = [sys.executable, "-m", "load.quota", "--be-others", url, str(tokens_per_minute)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield
        finally:
            process.terminate()


async def be_others(url: str, tokens_per_minute: float) -> None:
    """Call at a steady rate for ever, whatever is answered. What a call is charged, the first answer says."""
    limit = 100
    body = {"model": "m", "max_tokens": limit, "user": "others"}
    async with aiohttp.ClientSession() as session:
        pending: set[asyncio.Task[int | None]] = set()

        async def call(number: int) -> int | None:
            text = f"[[tokens: {limit}]] other {number:06d} " + "word " * 80
            message = {**body, "messages": [{"role": "user", "content": text}]}
            async with session.post(f"{url}/v1/chat/completions", json=message) as answer:
                found = await answer.json()
                return found["usage"]["prompt_tokens"] + limit if answer.status == 200 else None

        charge = await call(0)
        assert charge is not None  # the bucket is full
        pause = 60 * charge / tokens_per_minute
        start, number = asyncio.get_running_loop().time(), 1
        while True:
            await asyncio.sleep(max(0.0, start + number * pause - asyncio.get_running_loop().time()))
            task = asyncio.create_task(call(number))
            pending.add(task)
            task.add_done_callback(pending.discard)
            number += 1


def run(case: Case, workers: int, per_minute: int, seconds: float, seed: int) -> Result:
    """One case with so many bulk workers.

    Raises:
        BenchFailed: it cannot give a figure.
    """
    share = 1 - case.others
    per_call = _PROMPT_WORDS + 8 + (_ANSWER_WORDS * _SPREAD[1] if case.charge == "estimate" else _ANSWER_WORDS)
    quota = per_minute * (case.burst_seconds + share * seconds) / 60
    count = int(quota / per_call)
    with (
        throwaway_folder("quota") as folder,
        provider(*options_of(case, per_minute)) as url,
        others(url, per_minute * case.others),
    ):
        limits: dict[str, Any] = {"tokens_per_minute": per_minute}
        if case.stated:
            limits["burst_seconds"] = case.burst_seconds
        config = {
            "providers": {"sim": {"wire_format": "openai", "base_url": f"{url}/v1", "api_key": _KEY, "limits": limits}},
            "models": {_MODEL: {"provider": "sim"}},
        }
        with Penstock(folder, config, workers=workers) as penstock:
            before = stats(url)
            made = penstock.run_rows(rows(count, seed), count, seconds * 6)
            after = stats(url)
    mine = after["by_user"].get("others", 0) - before["by_user"].get("others", 0)
    charged = made.usage if case.charge == "actual" else made.input_tokens + count * int(_ANSWER_WORDS * _SPREAD[1])
    held = per_minute * case.burst_seconds / 60
    return Result(
        case=case.name,
        workers=workers,
        rows=count,
        charged_tokens=charged,
        makespan=made.seconds,
        ideal=max(charged - held, 0) / (per_minute * share) * 60 + _LATENCY_MS / 1000,
        calls=after["calls"] - before["calls"] - mine,
        refused=after["rate_limited"] - before["rate_limited"],
        failed=made.failed,
    )


def main() -> int:
    """Run the cases asked for; 1 if one gave no figure."""
    options = _options()
    if options.be_others:
        asyncio.run(be_others(options.be_others[0], float(options.be_others[1])))
        return 0
    found: list[Result] = []
    for name in options.case or CASES:
        for workers in options.workers or (1, 2, 4):
            print(f"  {name}, {workers} workers …", file=sys.stderr, flush=True)
            try:
                result = run(CASES[name], workers, options.tokens_per_minute, options.seconds, options.seed)
            except BenchFailed as failed:
                print(f"quota: {failed}", file=sys.stderr)
                return 1
            found.append(result)
            print(f"    {result.ratio:.3f}, {result.refused} of {result.calls} refused", file=sys.stderr, flush=True)
    _print(found, options.tokens_per_minute)
    path = report.write("quota", [asdict(result) for result in found])
    print(f"written to {path.relative_to(ROOT)}")
    return 0


def _print(found: list[Result], per_minute: int) -> None:
    table = Table(title=f"A hard limit of {per_minute:,} tokens a minute")
    for column in ("case", "workers", "rows", "makespan", "ideal", "ratio", "429s", "failed"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for r in found:
        share = 100 * r.refused / max(r.calls, 1)
        table.add_row(
            r.case, str(r.workers), str(r.rows), f"{r.makespan:.1f} s", f"{r.ideal:.1f} s", f"{r.ratio:.3f}",
            f"{r.refused} ({share:.2f} %)", str(r.failed),
        )  # fmt: skip
    Console().print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load.quota", description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=CASES, help="may be repeated (default: all)")
    parser.add_argument("--workers", action="append", type=int, help="may be repeated (default: 1, 2 and 4)")
    parser.add_argument("--tokens-per-minute", type=int, default=120_000)
    parser.add_argument("--seconds", type=float, default=75, help="how long a run is to last beyond the burst")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--be-others", nargs=2, metavar=("URL", "TOKENS_PER_MINUTE"), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
