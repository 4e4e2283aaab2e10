"""Kills at random while everything runs, and what must hold afterwards.

    python -m load.chaos [--kills 100] [--jobs 20000] [--seconds 5] [--seed 1]

A real `penstock up` with several workers, and a provider that keeps a ledger; batches, background responses with
subscribers that come back, jobs, foreground calls and webhooks; and a schedule of blows that the seed decides: SIGKILL,
an immediate stop of Postgres, SIGSTOP for a while, SIGTERM, FLUSHALL, connections cut. The provider fails 5 % of calls,
hangs, resets and cuts. Then every rule of `invariants.py` is applied; it exits with 1 if one is broken.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from load import report
from load.chaos.run import Felt, Options, Verdict, run
from load.chaos.schedule import Blow, plan
from load.engine import ROOT, BenchFailed

_SHOWN = 10


def main() -> int:
    """Run it, print the table, write the day's result; 1 if a rule was broken or it gave no verdict."""
    options = _options()
    kinds = frozenset(options.only) if options.only else None
    blows = plan(options.seed, options.kills, options.seconds, kinds)
    chosen = Options(
        seed=options.seed,
        jobs=options.jobs,
        workers=options.workers,
        concurrency=options.concurrency,
        freeze_seconds=options.freeze,
        batch_lines=options.batch_lines,
    )
    try:
        verdict = _watched(chosen, blows)
    except BenchFailed as failed:
        print(f"chaos: {failed}", file=sys.stderr)
        return 1
    _print(verdict)
    if options.write:
        path = report.write("chaos", [asdict(verdict)])
        print(f"written to {path.relative_to(ROOT)}")
    return int(any(verdict.broken.values()))


def _watched(options: Options, blows: list[Blow]) -> Verdict:
    columns = (TextColumn("{task.description:<26}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        jobs = progress.add_task("jobs", total=options.jobs)
        struck = progress.add_task("blows", total=len(blows))

        def tell(name: str, ended: int) -> None:
            progress.update(jobs, completed=min(ended, options.jobs))
            if name:
                progress.update(struck, advance=1, description=name)
                if not progress.console.is_terminal:
                    print(f"{time.strftime('%H:%M:%S')} {name}, {ended} jobs ended", file=sys.stderr, flush=True)

        return asyncio.run(run(options, blows, tell))


def _print(verdict: Verdict) -> None:
    console = Console()
    table = Table(title=f"{len(verdict.felt)} blows, {verdict.jobs} jobs, seed {verdict.options.seed}")
    for heading in ("blow", "times", "jobs back, p50 / p95 / max", "a client is answered, p50 / p95 / max"):
        table.add_column(heading, justify="left" if heading == "blow" else "right")
    for name, felt in by_name(verdict.felt).items():
        table.add_row(name, str(len(felt)), _spread([f.jobs_back for f in felt]), _spread([f.answered for f in felt]))
    console.print(table)
    facts = Table(show_header=False, box=None)
    for label, value in (
        ("jobs by state", ", ".join(f"{state} {count}" for state, count in sorted(verdict.states.items()))),
        ("why jobs failed", "; ".join(f"{count} × {why}" for why, count in verdict.failures.items()) or "none did"),
        ("calls made", str(verdict.calls)),
        ("recoveries of jobs", str(verdict.recovered)),
        ("calls lost with their worker", str(verdict.unrecorded)),
        ("answers paid for twice", str(verdict.paid_twice)),
        ("subscribers / times they came back", f"{verdict.subscribers} / {verdict.returned_subscribers}"),
        ("told that their stream cannot go on", str(verdict.cut_off)),
        ("webhooks taken", str(verdict.deliveries)),
        ("foreground calls turned away", str(verdict.turned_away)),
        ("seconds", f"{verdict.seconds:.0f}"),
    ):
        facts.add_row(label, value)
    console.print(facts)
    for rule, sentences in verdict.broken.items():
        print(f"{'holds ' if not sentences else 'BROKEN'}  {rule}")
        for sentence in sentences[:_SHOWN]:
            print(f"          {sentence}")
        if len(sentences) > _SHOWN:
            print(f"          … and {len(sentences) - _SHOWN} more")


def by_name(felt: Sequence[Felt]) -> dict[str, list[Felt]]:
    """Blows by their name, in alphabetical order."""
    return {name: [each for each in felt if each.name == name] for name in sorted({each.name for each in felt})}


def _spread(values: Sequence[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    if not known:
        return ""
    p95 = statistics.quantiles(known, n=20, method="inclusive")[-1] if len(known) > 1 else known[0]
    return f"{statistics.median(known):.1f} / {p95:.1f} / {known[-1]:.1f} s"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs and immediate stops (default 100)")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="between two blows, on the average")
    parser.add_argument("--seed", type=int, default=1, help="decides the schedule and the provider's faults")
    parser.add_argument("--workers", type=int, default=4, help="bulk worker processes")
    parser.add_argument("--concurrency", type=int, default=100, help="calls at a time that the provider allows")
    parser.add_argument("--freeze", type=float, default=20.0, help="seconds that a frozen process stands still")
    parser.add_argument("--batch-lines", type=int, default=1000)
    parser.add_argument("--only", action="append", help="deal only blows of this kind; may be repeated")
    parser.add_argument("--write", action="store_true", help="write load/results/<date>-chaos.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
