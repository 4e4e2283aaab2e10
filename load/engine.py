"""A throw-away Penstock and a client of its batches, both from outside: commands and HTTP, as a user has them."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import orjson
import psutil

from load import cpu
from penstock.routing.learnt import LearntPolicy
from penstock.settings import child_environment

ADMIN_KEY = "sk-penstock-bench-0123456789"
MODEL = "bench"
ROOT = Path(__file__).resolve().parents[1]
ENDED = ("completed", "failed", "expired", "cancelled")

_START_SECONDS = 90.0
_STOP_SECONDS = 60.0
_POLL = 0.1
_LOG_TAIL = 1500
#: set to nothing, which is unset: a bench must never use, or fill, somebody's servers
_NOT_OURS = ("PENSTOCK_DATABASE_URL", "PENSTOCK_REDIS_URL", "PENSTOCK_BROKER_URL", "PENSTOCK_CONFIG")


class BenchFailed(Exception):
    """The bench cannot give a figure; the message says why."""


@dataclass(frozen=True, slots=True)
class Run:
    """One batch from upload to its last line; times in seconds, `answers` are texts by custom_id."""

    jobs: int
    upload: float
    create_to_start: float
    create_to_end: float
    cpu: dict[str, float]
    download: float
    download_cpu: dict[str, float]
    restarted: list[str]
    answers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Rows:
    """What became of a batch: seconds from its creation to its end, lines, tokens."""

    seconds: float
    completed: int
    failed: int
    input_tokens: int
    usage: int


@contextmanager
def throwaway_folder(bench: str, *, keep: bool = False) -> Iterator[Path]:
    """A folder for the time of one bench, named for it; with `keep` it stays, with its logs, and is told of."""
    folder = Path(tempfile.mkdtemp(prefix=f"penstock-{bench}-"))
    folder.chmod(0o755)  # embedded servers started by root run as another user, who must pass through
    try:
        yield folder
    finally:
        if keep:
            print(f"kept {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


class Penstock:
    """`penstock up` on a folder of its own, from `with` to its end."""

    def __init__(self, folder: Path, config: dict[str, Any], *, workers: int, flower: bool = False) -> None:
        port, flower_port = _free_port(), _free_port()
        file = folder / "penstock.yaml"
        file.write_text(json.dumps(config), "utf-8")  # JSON is YAML
        self._command = [
            sys.executable, "-m", "cli.main", "up", "--config", str(file), "--data", str(folder / "data"),
            "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers),
            *(("--flower-port", str(flower_port)) if flower else ("--no-flower",)),
        ]  # fmt: skip
        self._log = folder / "penstock.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{port}"
        self._http = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {ADMIN_KEY}"},
            timeout=60.0,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        environment = child_environment({**dict.fromkeys(_NOT_OURS, ""), "PENSTOCK_ADMIN_KEY": ADMIN_KEY})
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        """The supervisor's process."""
        assert self._process is not None
        return self._process.pid

    def snapshot(self) -> cpu.Snapshot:
        """CPU used so far, by group.

        Raises:
            BenchFailed: it has ended.
        """
        assert self._process is not None
        try:
            return cpu.snapshot(self._process.pid)
        except psutil.NoSuchProcess:
            raise BenchFailed(f"`penstock up` has ended:\n{self._tail()}") from None

    def run_batch(self, lines: bytes, jobs: int, limit: float) -> Run:
        """Upload a file, run it as a batch, read its output.

        Raises:
            BenchFailed: a call was refused, the batch did not complete within `limit` seconds, or an answer is missing.
        """
        before, started = self.snapshot(), time.perf_counter()
        file = self._post("/v1/files", files={"file": ("bench.jsonl", lines)}, data={"purpose": "batch"})
        created = time.perf_counter()
        order = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        batch = self._post("/v1/batches", json=order)
        first: float | None = None
        while batch["status"] not in ENDED:
            if time.perf_counter() - created > limit:
                raise BenchFailed(f"the batch did not complete within {limit:g} s: {_brief(batch)}\n{self._tail()}")
            time.sleep(_POLL)
            batch = self._get(f"/v1/batches/{batch['id']}")
            if first is None and batch["status"] != "validating":
                first = time.perf_counter()
        ended, after = time.perf_counter(), self.snapshot()
        if batch["status"] != "completed" or batch["request_counts"] != {"total": jobs, "completed": jobs, "failed": 0}:
            raise BenchFailed(f"the batch did not end well: {_brief(batch)}\n{self._tail()}")
        answers = self._answers(batch["output_file_id"], jobs)
        read, end = time.perf_counter(), self.snapshot()
        return Run(
            jobs=jobs,
            upload=created - started,
            create_to_start=(first or ended) - created,
            create_to_end=ended - created,
            cpu=after.since(before),
            download=read - ended,
            download_cpu=end.since(after),
            restarted=end.restarted(before),
            answers=answers,
        )

    def run_rows(self, lines: bytes, rows: int, limit: float) -> Rows:
        """Run a batch of which lines may fail.

        Raises:
            BenchFailed: it did not end within `limit` seconds.
        """
        return self._run_rows(lines, rows, limit)[0]

    def _run_rows(self, lines: bytes, rows: int, limit: float) -> tuple[Rows, dict[str, Any]]:
        file = self._post("/v1/files", files={"file": ("rows.jsonl", lines)}, data={"purpose": "batch"})
        order = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        created = time.perf_counter()
        batch = self._post("/v1/batches", json=order)
        while batch["status"] not in ENDED:
            if time.perf_counter() - created > limit:
                raise BenchFailed(f"the batch did not end within {limit:g} s: {_brief(batch)}\n{self._tail()}")
            time.sleep(_POLL)
            batch = self._get(f"/v1/batches/{batch['id']}")
        seconds = time.perf_counter() - created
        if batch["request_counts"]["total"] != rows:
            raise BenchFailed(f"the batch did not end well: {_brief(batch)}\n{self._tail()}")
        usage = batch["usage"]
        failed = batch["request_counts"]["failed"]
        return Rows(seconds, rows - failed, failed, usage["input_tokens"], usage["total_tokens"]), batch

    def run_lines(self, lines: bytes, rows: int, limit: float) -> tuple[Rows, dict[str, str]]:
        """As `run_rows`, with the id of each line's job by custom_id.

        Raises:
            BenchFailed: it did not end within `limit` seconds, or a line failed.
        """
        ran, batch = self._run_rows(lines, rows, limit)
        if ran.failed:
            raise BenchFailed(f"{ran.failed} lines failed: {_brief(batch)}\n{self._tail()}")
        content = self._http.get(f"/v1/files/{batch['output_file_id']}/content").raise_for_status().content
        found = [orjson.loads(line) for line in content.splitlines()]
        return ran, {line["custom_id"]: line["id"].replace("batch_req_", "job_") for line in found}

    def job(self, job_id: str) -> dict[str, Any]:
        """What is told of a job."""
        return self._get(f"/v1/jobs/{job_id}")

    def route(self, name: str) -> dict[str, Any]:
        """What is told of a route, its `artefact` in use among it."""
        return self._get(f"/admin/routes/{name}")

    def learn(self, route: str, policy: LearntPolicy) -> None:
        """Store and activate a learnt policy as `penstock calibrate --force` does."""
        body = {"document": policy.to_json(), "note": "made by a bench", "activate": True}
        self._post(f"/admin/routes/{route}/artefacts", json=body)

    def _answers(self, file_id: str, jobs: int) -> dict[str, str]:
        content = self._http.get(f"/v1/files/{file_id}/content").raise_for_status().content
        lines = [orjson.loads(line) for line in content.splitlines()]
        texts = {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in lines}
        answers = {custom_id: text for custom_id, text in texts.items() if text}
        if len(lines) != jobs or len(answers) != jobs:
            raise BenchFailed(f"{jobs} jobs, but the output has {len(lines)} lines for {len(answers)} custom_ids")
        return answers

    def _get(self, path: str) -> dict[str, Any]:
        return _checked(self._http.get(path))

    def _post(self, path: str, **content: Any) -> dict[str, Any]:
        return _checked(self._http.post(path, **content))

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise BenchFailed(f"`penstock up` ended with {self._process.returncode}:\n{self._tail()}")
            with suppress(httpx.TransportError):
                if self._http.get("/readyz", timeout=5.0).status_code == 200:
                    return
            time.sleep(_POLL)
        raise BenchFailed(f"`penstock up` was not ready within {_START_SECONDS:g} s:\n{self._tail()}")

    def _stop(self) -> None:
        self._http.close()
        if self._process is None:
            return
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                return
            self._process.send_signal(number)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                print(f"`penstock up` is slow to stop ({signal.Signals(number).name})", file=sys.stderr)

    def _tail(self) -> str:
        logs = [self._log, *sorted((self._log.parent / "data" / "logs").glob("*.log"))]
        parts = [(log, log.read_text("utf-8", "replace")[-_LOG_TAIL:].strip()) for log in logs if log.exists()]
        return "\n".join(f"--- {log.name}\n{text}" for log, text in parts if text)


def input_file(jobs: int, prefix: str) -> bytes:
    """A batch input file; every line asks something else, some 80 tokens long."""
    lines = []
    for number in range(jobs):
        question = (
            f"{prefix} {number}: Natalia sold clips to {number % 97 + 2} of her friends in April, and then she sold "
            "half as many clips in May. In June a third of all the clips that she had sold came back, and she sold "
            "them once more. How many clips did Natalia sell altogether from April to June? Think step by step, then "
            "write the answer as a single whole number on the last line."
        )
        body = {"model": MODEL, "max_tokens": 128, "messages": [{"role": "user", "content": question}]}
        line = {"custom_id": f"{prefix}-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        lines.append(orjson.dumps(line))
    return b"\n".join(lines) + b"\n"


def bench_config(provider_url: str, worker: dict[str, int]) -> dict[str, Any]:
    """A provider without limits, with a price and a context size."""
    return {
        "providers": {"cheap": {"wire_format": "openai", "base_url": provider_url, "api_key": "sk-bench"}},
        "models": {MODEL: {"provider": "cheap", "price": {"input": 0.05, "output": 0.4}, "context": 32768}},
        "worker": worker,
    }


def _checked(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code != 200:
        request = answer.request
        raise BenchFailed(f"{request.method} {request.url.path}: {answer.status_code} {answer.text[:500]}")
    found: dict[str, Any] = answer.json()
    return found


def _brief(batch: dict[str, Any]) -> str:
    return orjson.dumps({name: batch.get(name) for name in ("status", "request_counts", "errors")}).decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
