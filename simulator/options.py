"""What a simulated provider is like: its wire format, limits, speed and faults."""

import time
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from simulator.recordings import Recordings

WireFormat = Literal["openai", "azure-openai", "anthropic", "cohere", "ollama", "gemini", "bedrock"]
Outage = Literal["none", "status", "reset", "hang"]
_OUTAGES = ("none", "status", "reset", "hang")
_RATES = ("error_rate", "overload_rate", "hang_rate", "reset_rate", "cut_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """Everything a simulator is started with. Rates of faults are shares of calls, 0 to 1.

    `port` 0 takes a free port. `api_key` None accepts any key, `models` None any model name. Limits left at None are
    not enforced; `burst_seconds` says how many seconds of quota a full bucket holds. `charge` says what a call takes
    from the token bucket: `estimate` the prompt and its `max_tokens` at once and for good, `actual` the prompt at once
    and the real answer when it is done. `latency_ms` is the median of a plain call; a stream has
    `time_to_first_token_ms` (None: the same as a plain call's) and then `tokens_per_second` (None: no pauses). With
    `recorded` answers it gives those and no others: what was not recorded is refused.

    Raises:
        ValueError: a value that makes no sense; the message names the field.
    """

    wire_format: WireFormat = "openai"
    host: str = "127.0.0.1"
    port: int = 0
    api_key: str | None = None
    models: tuple[str, ...] | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst_seconds: float = 60.0
    charge: Literal["estimate", "actual"] = "estimate"
    latency_ms: float = 0.0
    latency_distribution: Literal["constant", "lognormal"] = "constant"
    latency_sigma: float = 0.5
    time_to_first_token_ms: float | None = None
    tokens_per_second: float | None = None
    answer_tokens: int = 40
    embedding_dimensions: int = 256
    error_rate: float = 0.0
    overload_rate: float = 0.0
    hang_rate: float = 0.0
    reset_rate: float = 0.0
    cut_rate: float = 0.0
    seed: int = 0
    recorded: Recordings | None = None

    def __post_init__(self) -> None:
        if self.wire_format not in get_args(WireFormat):
            known = ", ".join(get_args(WireFormat))
            raise ValueError(f"wire_format: must be one of {known}, not {self.wire_format!r}")
        if self.charge not in {"estimate", "actual"}:
            raise ValueError(f"charge: must be estimate or actual, not {self.charge!r}")
        if self.latency_distribution not in {"constant", "lognormal"}:
            raise ValueError(f"latency_distribution: must be constant or lognormal, not {self.latency_distribution!r}")
        positive = ("requests_per_minute", "tokens_per_minute", "tokens_per_second")
        for name in (*positive, "burst_seconds", "answer_tokens", "embedding_dimensions"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name}: must be above 0")
        for name in ("latency_ms", "latency_sigma", "time_to_first_token_ms"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name}: must not be below 0")
        Faults.of(self)


@dataclass(slots=True, kw_only=True)
class Faults:
    """The faults in force; unlike the options they can change while the simulator runs.

    `outage` makes every call fail alike: `status` answers 503 (Anthropic: 529), `reset` drops the connection, `hang`
    never answers. With `outage_seconds` it ends by itself. `slow_ms` are added to the time of every call.
    """

    error_rate: float = 0.0
    overload_rate: float = 0.0
    hang_rate: float = 0.0
    reset_rate: float = 0.0
    cut_rate: float = 0.0
    outage: Outage = "none"
    outage_seconds: float | None = None
    slow_ms: float = 0.0
    _outage_ends: float = float("inf")

    def __post_init__(self) -> None:
        for name in _RATES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: must be between 0 and 1")
        if sum(getattr(self, name) for name in _RATES) > 1 + 1e-9:
            raise ValueError("the fault rates together must not exceed 1")
        if self.slow_ms < 0:
            raise ValueError("slow_ms: must not be negative")
        if self.outage not in _OUTAGES:
            raise ValueError(f"outage: must be one of {', '.join(_OUTAGES)}")
        if self.outage_seconds is not None:
            self._outage_ends = time.monotonic() + self.outage_seconds

    @classmethod
    def of(cls, options: SimulatorOptions) -> "Faults":
        """The faults a simulator starts with."""
        return cls(**{name: getattr(options, name) for name in _RATES})

    def changed(self, changes: dict[str, Any]) -> "Faults":
        """A copy with some fields replaced; `outage` also takes true and false.

        Raises:
            ValueError: an unknown field or a value out of range.
        """
        known = {field.name for field in fields(self) if not field.name.startswith("_")}
        if unknown := set(changes) - known:
            raise ValueError(
                f"there is no such fault: {', '.join(sorted(unknown))} (known: {', '.join(sorted(known))})"
            )
        values = self.to_json() | {"outage_seconds": None} | changes
        if isinstance(values["outage"], bool):
            values["outage"] = "status" if values["outage"] else "none"
        for name in (*_RATES, "slow_ms", "outage_seconds"):
            value = values[name]
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            if not numeric and not (name == "outage_seconds" and value is None):
                raise ValueError(f"{name}: must be a number")
        return Faults(**values)

    def to_json(self) -> dict[str, Any]:
        """The public fields."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("_")}

    def outage_now(self) -> Outage:
        """The outage in force at this moment."""
        return self.outage if time.monotonic() < self._outage_ends else "none"
