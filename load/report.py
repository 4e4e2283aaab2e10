"""What a bench found: on the terminal, as JSON beside the others, and as a dated line in the README."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psutil
from rich.console import Console
from rich.table import Table

from load.cpu import GROUPS

FOLDER = Path(__file__).resolve().parent
#: the project's target on two cores, and what it aims at
TARGET = {"jobs_per_second": 400, "cpu_ms_per_job": 2.5}
AIM = {"jobs_per_second": 600, "cpu_ms_per_job": 1.6}
#: two measures of the bare loop in one run that differ by more than this factor: other work disturbed it
_STEADY = 1.15
_MARK = "<!-- results: make bench ARGS=--write adds a line here -->"


def machine() -> dict[str, Any]:
    """What it ran on; figures of different machines do not compare."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": model,
        "cores": cores,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def print_result(result: dict[str, Any]) -> None:
    """The table."""
    console = Console()
    engine, bare = result["engine"], result["bare_loop"]
    table = Table(
        title=f"{engine['jobs']} jobs through /v1/batches, provider latency {result['options']['latency_ms']:g} ms"
    )
    for heading in ("process group", "processes", "CPU-ms per job", "idle, CPU-ms per s"):
        table.add_column(heading, justify="left" if heading == "process group" else "right")
    for group in [name for name in GROUPS if name in engine["cpu_ms_per_job_by_group"]]:
        table.add_row(
            group,
            str(engine["processes"][group]),
            f"{engine['cpu_ms_per_job_by_group'][group]:.3f}",
            f"{engine['idle_cpu_ms_per_second'][group]:.1f}",
        )
    table.add_section()
    idle = sum(engine["idle_cpu_ms_per_second"].values())
    table.add_row("all", str(sum(engine["processes"].values())), f"{engine['cpu_ms_per_job']:.3f}", f"{idle:.1f}")
    console.print(table)
    facts = Table(show_header=False, box=None)
    for name, value in _facts(result, engine, bare):
        facts.add_row(name, value)
    console.print(facts)


def _facts(result: dict[str, Any], engine: dict[str, Any], bare: dict[str, Any]) -> list[tuple[str, str]]:
    ratio = result["ratio_to_bare_loop"]
    first, last = bare["calls_per_second_range"]
    return [
        ("Penstock", f"{engine['jobs_per_second']:.0f} jobs/s, {engine['cpu_ms_per_job']:.2f} CPU-ms per job"),
        ("  from in_progress", f"{engine['jobs_per_second_from_start']:.0f} jobs/s"),
        (
            "  upload, reading the file, download",
            " / ".join(f"{engine[k]:.2f} s" for k in ("upload_s", "ingest_s", "download_s")),
        ),
        ("  peak calls in flight", str(engine["peak_in_flight"])),
        (
            "Bare aiohttp loop",
            f"{bare['calls_per_second']:.0f} calls/s ({first:.0f} before, {last:.0f} after), "
            f"{bare['cpu_ms_per_call']:.2f} CPU-ms per call, {bare['in_flight']} in flight",
        ),
        (
            "Penstock to bare loop",
            f"{ratio['throughput']:.2f} of its throughput, {ratio['cpu']:.1f} times its CPU per job",
        ),
        ("Provider", f"{result['provider_cpu_us_per_call']:.0f} CPU-µs per call, not counted above"),
        ("Steady machine", "yes" if max(first, last) < min(first, last) * _STEADY else "no: run it again"),
        ("Target / aim on 2 cores", f"{_met(engine, TARGET)} / {_met(engine, AIM)}"),
    ]


def _met(engine: dict[str, Any], goal: dict[str, float]) -> str:
    fast = engine["jobs_per_second"] >= goal["jobs_per_second"]
    cheap = engine["cpu_ms_per_job"] <= goal["cpu_ms_per_job"]
    verdict = "met" if fast and cheap else "missed"
    return f"{goal['jobs_per_second']:g} jobs/s and {goal['cpu_ms_per_job']:g} ms: {verdict}"


def save(result: dict[str, Any]) -> Path:
    """Write the day's result; a later one of the same day replaces it."""
    path = FOLDER / "results" / f"{datetime.now(UTC).date()}-bench.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2) + b"\n")
    return path


def write(name: str, runs: list[dict[str, Any]]) -> Path:
    """Write the runs of one of the other measurements, with date and machine, as `save` does."""
    path = FOLDER / "results" / f"{datetime.now(UTC).date()}-{name}.json"
    content = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "runs": runs}
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    return path


def add_line(result: dict[str, Any]) -> None:
    """Add the result as a line of the table in load/README.md.

    Raises:
        ValueError: the table's end is not marked there (any more).
    """
    readme = FOLDER / "README.md"
    text = readme.read_text("utf-8")
    if text.count(_MARK) != 1:
        raise ValueError(f"{readme}: there must be one line {_MARK}")
    readme.write_text(text.replace(_MARK, f"{_line(result)}\n{_MARK}"), "utf-8")


def _line(result: dict[str, Any]) -> str:
    engine, bare, ratio = result["engine"], result["bare_loop"], result["ratio_to_bare_loop"]
    parts = engine["cpu_ms_per_job_by_group"]
    split = ", ".join(f"{name} {parts[name]:.2f}" for name in GROUPS if parts.get(name, 0) >= 0.005)
    options = result["options"]
    cells = [
        result["date"][:10],
        f"{result['machine']['cores']} × {result['machine']['cpu']}",
        f"{engine['jobs']} / {options['workers']}{' + Flower' if options['flower'] else ''}",
        f"{engine['jobs_per_second']:.0f}",
        f"{engine['cpu_ms_per_job']:.2f}",
        split,
        f"{bare['calls_per_second']:.0f} / {bare['cpu_ms_per_call']:.2f}",
        f"{ratio['throughput']:.2f} / {ratio['cpu']:.1f}",
    ]
    return f"| {' | '.join(cells)} |"
