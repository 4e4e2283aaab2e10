"""What the simulator has seen: the witness that tests ask whether a call was made once, twice or never."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from simulator.prompt_cache import CacheUse

_PROMPT_KEPT = 120


@dataclass(slots=True)
class RequestRecord:
    """One request as it came in, by its fingerprint; a retry is the same request."""

    prompt: str
    calls: int = 0
    succeeded: int = 0
    #: how often the directive `[[fail: K]]` made it fail
    failed_on_purpose: int = 0


@dataclass(slots=True)
class Ledger:
    """Counts since the start or the last reset.

    `calls` counts every call that asked for model work, refused ones too; `abandoned` those whose client hung up.
    """

    calls: int = 0
    succeeded: int = 0
    abandoned: int = 0
    in_flight: int = 0
    in_flight_peak: int = 0
    input_tokens: int = 0
    #: of these, those read from the prompt cache and those written to it
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    first_at: float | None = None
    last_at: float | None = None
    by_status: Counter[int] = field(default_factory=Counter)
    by_fault: Counter[str] = field(default_factory=Counter)
    by_model: Counter[str] = field(default_factory=Counter)
    by_user: Counter[str] = field(default_factory=Counter)
    by_key: Counter[str] = field(default_factory=Counter)
    requests: dict[str, RequestRecord] = field(default_factory=dict)

    def arrived(self) -> None:
        """A call came in."""
        self.calls += 1
        self.last_at = time.time()
        if self.first_at is None:
            self.first_at = self.last_at

    def understood(self, fingerprint: str, prompt: str, model: str, user: str | None, key: str | None) -> RequestRecord:
        """The call could be read; `key` is its `x-simulator-key` header."""
        record = self.requests.get(fingerprint)
        if record is None:
            record = self.requests[fingerprint] = RequestRecord(prompt[:_PROMPT_KEPT])
        record.calls += 1
        self.by_model[model] += 1
        if user is not None:
            self.by_user[user] += 1
        if key is not None:
            self.by_key[key] += 1
        return record

    @contextmanager
    def working(self) -> Iterator[None]:
        """The time in which an admitted call is worked on."""
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1

    def done(self, record: RequestRecord, input_tokens: int, output_tokens: int, cache: CacheUse) -> None:
        """A call was answered in full."""
        record.succeeded += 1
        self.succeeded += 1
        self.by_status[200] += 1
        self.input_tokens += input_tokens
        self.cache_read_tokens += cache.read
        self.cache_write_tokens += cache.written
        self.output_tokens += output_tokens

    def clear(self) -> None:
        """Forget everything but the calls in flight."""
        fresh = Ledger(in_flight=self.in_flight, in_flight_peak=self.in_flight)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def to_json(self, *, detail: bool) -> dict[str, Any]:
        """All counts; with `detail` also every request by its fingerprint."""
        result: dict[str, Any] = {
            name: dict(value) if isinstance(value := getattr(self, name), Counter) else value
            for name in self.__slots__
            if name != "requests"
        }
        result["by_status"] = {str(status): count for status, count in self.by_status.items()}
        result["rate_limited"] = self.by_status[429]
        result["distinct_requests"] = len(self.requests)
        result["repeated_requests"] = sum(record.calls > 1 for record in self.requests.values())
        result["succeeded_twice"] = sum(record.succeeded > 1 for record in self.requests.values())
        if detail:
            result["requests"] = {
                fingerprint: {"prompt": r.prompt, "calls": r.calls, "succeeded": r.succeeded}
                for fingerprint, r in self.requests.items()
            }
        return result
