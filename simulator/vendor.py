"""What all wire formats have in common, as seen by the code that serves calls."""

from collections.abc import Callable, Iterator, Mapping
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


class Head(Mapping[str, str]):
    """The headers of a call; `path` holds the variable parts of its path, `query` its parameters.

    For vendors whose clients sign each call there are also its `method`, its `target` as it was on the wire (path and
    query), and its `body`.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        path: Mapping[str, str],
        query: Mapping[str, str],
        *,
        method: str = "POST",
        target: str = "",
        body: bytes = b"",
    ) -> None:
        self._headers = headers
        self.path = path
        self.query = query
        self.method = method
        self.target = target
        self.body = body

    def __getitem__(self, name: str) -> str:
        return self._headers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)


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
    #: what the answer says in headers, beside those of every answer
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route; its path may have variable parts, such as `/models/{model}`.

    An unmetered one takes no quota, has no latency and is no model call; one that does not generate is charged for
    its input only.
    """

    path: str
    read: Callable[[bytes, Head], Question]
    reply: Callable[[Question, Call], Reply]
    #: an error in the middle of a stream, after so many frames
    error_frame: Callable[[int], bytes] = lambda _: b""
    #: the media type of a stream
    stream_type: str = "text/event-stream; charset=utf-8"
    metered: bool = True
    generates: bool = True


class Vendor(Protocol):
    """A wire format: its routes, and how it says yes and no."""

    overload_status: int
    endpoints: tuple[Endpoint, ...]

    def authorise(self, headers: Head, api_key: str) -> None:
        """Raise `RefusalError` unless the call carries the key, or is signed with it."""

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
