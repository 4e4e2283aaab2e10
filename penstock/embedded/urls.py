"""Where the servers of a stack are, and how others find those of one that runs.

Every role asks this and few start a stack: so nothing here loads what starting one needs.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil

#: in the data folder while a stack runs on it
STACK_FILE = "stack.json"


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the three servers of a stack are."""

    database: str
    redis: str
    broker: str

    def environment(self) -> dict[str, str]:
        """As the variables that a role reads."""
        return {
            "PENSTOCK_DATABASE_URL": self.database,
            "PENSTOCK_REDIS_URL": self.redis,
            "PENSTOCK_BROKER_URL": self.broker,
        }


def find_running(data: Path) -> Urls | None:
    """The addresses of the stack that runs on a data folder, if one does: for a single role that wants to join it."""
    try:
        content = json.loads((data / STACK_FILE).read_text("utf-8"))
    except FileNotFoundError:
        return None
    try:
        started = psutil.Process(content["pid"]).create_time()
    except psutil.NoSuchProcess:
        return None
    if abs(started - content["started"]) > 1.0:  # the number is another process's by now
        return None
    return Urls(content["database"], content["redis"], content["broker"])


def as_broker(redis_url: str) -> str:
    """The same Redis in Celery's words, which differ for a socket only."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.path}?virtual_host={database}"
