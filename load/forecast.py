"""How well the end of a batch is foretold: what its object said at several moments, beside when it ended.

    python -m load.forecast [--case quota] [--scale 1]

`quota`: 120,000 tokens a minute, two batches of one tenant and one of another of three times its weight. `places`: no
quota, ten calls at a time. Answers are up to 50 % longer or shorter than can be known. Each batch is looked at four
times a second; errors are in seconds, positive where the end was foretold too late.
"""

import argparse
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from load import report
from load.engine import ENDED, ROOT, BenchFailed, Penstock, throwaway_folder
from load.quota import rows
from load.simulated import provider

_PER_MINUTE = 120_000
_POLL = 0.25
#: the moments told of, as parts of a batch's life
MOMENTS = (0.25, 0.5, 0.75, 0.9)
_KEYS = {"light": "sk-forecast-light", "heavy": "sk-forecast-heavy"}


@dataclass(frozen=True, slots=True)
class Case:
    """A limit of the provider, and batches as (tenant, rows), created one after the other."""

    name: str
    limits: dict[str, Any]
    options: tuple[str, ...]
    batches: tuple[tuple[str, int], ...]


CASES = {
    case.name: case
    for case in (
        Case(
            "quota",
            {"tokens_per_minute": _PER_MINUTE, "burst_seconds": 5},
            ("--tokens-per-minute", str(_PER_MINUTE), "--burst-seconds", "5", "--charge", "actual"),
            (("light", 250), ("light", 250), ("heavy", 250)),
        ),
        Case("places", {"concurrency": 10}, (), (("light", 700), ("heavy", 700))),
    )
}


@dataclass(slots=True)
class Watched:
    """One batch: when it was created and ended (Unix seconds), and what was said when."""

    tenant: str
    rows: int
    created: float
    ended: float = 0.0
    said: list[tuple[float, float]] = field(default_factory=list)

    def error_at(self, part: float) -> float | None:
        """How many seconds off the estimate was that stood at this part of the batch's life; None: there was none."""
        moment = self.created + part * (self.ended - self.created)
        standing = [end for at, end in self.said if at <= moment]
        return standing[-1] - self.ended if standing else None


def run(case: Case, scale: float) -> list[Watched]:
    """Create the batches of a case and watch them to their end.

    Raises:
        BenchFailed: a batch did not complete.
    """
    options = (*case.options, "--latency-ms", "400", "--latency-distribution", "lognormal")
    with throwaway_folder("forecast") as folder, provider(*options) as url:
        sim = {"wire_format": "openai", "base_url": f"{url}/v1", "limits": case.limits}
        config = {
            "providers": {"sim": sim},
            "models": {"limited": {"provider": "sim"}},
            "tenants": {"heavy": {"weight": 3}},
            "keys": [{"key": key, "tenant": tenant} for tenant, key in _KEYS.items()],
        }
        with Penstock(folder, config, workers=2) as penstock, httpx.Client(base_url=penstock.url) as http:
            return _watch(http, [_create(http, *batch, scale) for batch in case.batches])


def _headers(tenant: str) -> dict[str, str]:
    return {"authorization": f"Bearer {_KEYS[tenant]}"}


def _create(http: httpx.Client, tenant: str, count: int, scale: float) -> tuple[str, Watched]:
    count = int(count * scale)
    upload = {"file": ("rows.jsonl", rows(count, seed=count))}
    file = http.post("/v1/files", files=upload, data={"purpose": "batch"}, headers=_headers(tenant)).json()
    order = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = http.post("/v1/batches", json=order, headers=_headers(tenant)).json()
    time.sleep(1.0)  # one file is read after the other
    return batch["id"], Watched(tenant, count, float(batch["created_at"]))


def _watch(http: httpx.Client, made: list[tuple[str, Watched]]) -> list[Watched]:
    left = dict(made)
    while left:
        time.sleep(_POLL)
        for batch_id, watched in list(left.items()):
            batch = http.get(f"/v1/batches/{batch_id}", headers=_headers(watched.tenant)).json()
            if batch["estimated_completion_at"] is not None:
                watched.said.append((time.time(), batch["estimated_completion_at"]))
            if batch["status"] in ENDED:
                if batch["status"] != "completed" or batch["request_counts"]["completed"] != watched.rows:
                    raise BenchFailed(f"a batch did not complete: {batch['status']}, {batch['request_counts']}")
                watched.ended = time.time()
                del left[batch_id]
    return [watched for _, watched in made]


def main() -> int:
    """Run the cases asked for; 1 if one gave no figure."""
    parser = argparse.ArgumentParser(prog="python -m load.forecast", description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=CASES, help="may be repeated (default: all)")
    parser.add_argument("--scale", type=float, default=1.0, help="times so many rows")
    options = parser.parse_args()
    table = Table(title="Seconds by which the foretold end was off, at parts of a batch's life")
    for column in ("case", "tenant", "rows", "took", "first word", *(f"{part:.0%}" for part in MOMENTS)):
        table.add_column(column, justify="left" if column in ("case", "tenant") else "right")
    found: list[dict[str, Any]] = []
    for name in options.case or CASES:
        try:
            batches = run(CASES[name], options.scale)
        except BenchFailed as failed:
            print(f"forecast: {failed}", file=sys.stderr)
            return 1
        for watched in batches:
            errors = [watched.error_at(part) for part in MOMENTS]
            first = f"{watched.said[0][0] - watched.created:.1f} s" if watched.said else "never"
            shown = [f"{error:+.1f}" if error is not None else "-" for error in errors]
            table.add_row(
                name, watched.tenant, str(watched.rows), f"{watched.ended - watched.created:.1f} s", first, *shown
            )
            found.append({"case": name, "errors": dict(zip(map(str, MOMENTS), errors, strict=True)), **asdict(watched)})
    Console(width=110).print(table)
    print(f"written to {report.write('forecast', found).relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
