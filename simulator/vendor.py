"""What the two wire formats have in common, as seen by the code that serves calls."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from simulator.limits import BucketState
from simulator.options import SimulatorOptions
from simulator.question import Question
from simulator.refusal import RefusalError

#: what `GET /v1/models` lists when any name is accepted
SAMPLE_MODELS = ("sim-small", "sim-large")


@dataclass(frozen=True, slots=True)
class Call:
    """One call being answered. `id` is unique; `created` is in seconds since the epoch, `began` on the local clock."""

    id: str
    created: int
    began: float
    options: SimulatorOptions


class Frame(NamedTuple):
    """One piece of a stream, and the tokens it makes the client wait for."""

    data: bytes
    tokens: int = 0


@dataclass(slots=True)
class Reply:
    """An answer in the vendor's own bytes: a whole body, or the frames of a stream."""

    output_tokens: int
    body: bytes = b""
    frames: list[Frame] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route.

    An unmetered one takes no quota, has no latency and is no model call; one that does not generate is charged for
    its input only.
    """

    path: str
    read: Callable[[bytes, Mapping[str, str]], Question]
    reply: Callable[[Question, Call], Reply]
    #: an error in the middle of a stream, after so many frames
    error_frame: Callable[[int], bytes] = lambda _: b""
    metered: bool = True
    generates: bool = True


class Vendor(Protocol):
    """A wire format: its routes, and how it says yes and no."""

    overload_status: int
    endpoints: tuple[Endpoint, ...]

    def authorise(self, headers: Mapping[str, str], api_key: str) -> None:
        """Raise `RefusalError` unless the headers carry the key."""

    def headers(self, request_id: str, buckets: list[BucketState], milliseconds: int) -> dict[str, str]:
        """The vendor's headers of a successful answer."""

    def error(self, refusal: RefusalError, request_id: str, buckets: list[BucketState]) -> tuple[bytes, dict[str, str]]:
        """Body and headers of an error."""

    def unknown_model(self, model: str) -> RefusalError:
        """The error for a model that is not served."""

    def fault(self, status: int) -> RefusalError:
        """The vendor's own words for an error of the given status."""

    def models(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The list of models."""

    def model(self, name: str) -> dict[str, Any]:
        """One model."""
