"""Help for providers that keep prompts: where a prompt is marked to be kept, and who writes it first.

Writing a prefix to Anthropic's cache costs a quarter more than its plain input, and reading it a tenth of it ("Prompt
caching", the vendor's documentation); so it is for its models at Bedrock, whose marks are `cachePoint` blocks. So a
mark pays from the second call on that has the same prefix within five minutes, and one on a prefix that nobody repeats
costs. Therefore a prefix is marked when it was met before, here and lately. Calls of one batch often begin together;
then one goes first and the others wait until it is answered, because until then each would write the prefix for itself.
A call with a client waiting never waits.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import structlog

from penstock.completion import CacheLifetime, CompletionRequest, Message, Part, Reasoning, Text
from penstock.completion.encoding import dumps
from penstock.providers.bedrock_models import family_of
from penstock.providers.deployments import Deployment
from penstock.redis import PREFIX, Redis, RedisError
from penstock.rules.estimates import plain_input

_log = structlog.get_logger()

#: what the vendor keeps at least (its smallest models: twice that), with a reserve, as tokens are guessed here
LEAST_TOKENS = 1100
#: how long the vendor keeps a prefix after its last use, less a reserve
KEPT_SECONDS = 270.0
#: how long others wait for a call that writes a prefix before they go on without
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.1
_REMEMBERED = 20_000
_KEPT_FOR: CacheLifetime = "5m"
_KEY = "prompt_cache_key"


@dataclass(frozen=True, slots=True)
class Place:
    """The end of one part of a prompt: its message, its part, and the hash and guessed tokens of all before it."""

    message: int
    part: int
    digest: bytes
    tokens: int


def help_for(deployment: Deployment, size: int) -> Literal["marks", "key"] | None:
    """What can help a request of `size` bytes there: the model knows it, and the prompt is long enough."""
    configured = deployment.model_config.prompt_cache
    if configured == "off" or plain_input(size) < LEAST_TOKENS:
        return None
    if configured == "key":
        return "key"
    match deployment.provider_config.wire_format:
        case "anthropic":
            return "marks"
        case "bedrock":
            return "marks" if family_of(deployment.upstream_model).keeps else None
        case _:
            return None


def keyed(request: CompletionRequest) -> CompletionRequest:
    """The request with a `prompt_cache_key` of its beginning, unless its caller gave one.

    OpenAI keeps prompts by itself, each on the machine that answered, and sends requests with one beginning and one key
    to one machine ("Prompt caching", the vendor's documentation). The key is of the first part that ends behind the
    least size, so it stays the same while a conversation grows.
    """
    found = places(request)
    if not found or _KEY in request.extra or _KEY in request.responses_only:
        return request
    return replace(request, extra={**request.extra, _KEY: f"penstock-{found[0].digest.hex()}"})


def places(request: CompletionRequest) -> list[Place]:
    """Where the prompt may be marked, in order: after each part but the last, from the least size on."""
    state = hashlib.blake2b(dumps([_plain(tool) for tool in request.tools]), digest_size=16)
    size = sum(len(dumps(_plain(tool))) for tool in request.tools)
    found = []
    for number, index, message, part in _in_wire_order(request.messages):
        plain = dumps([message.role, type(part).__name__, _plain(part)])
        state.update(plain)
        size += len(part.text.encode("utf-8", "surrogatepass")) if isinstance(part, Text) else len(plain)
        if isinstance(part, Reasoning) or (isinstance(part, Text) and not part.text):
            continue  # cannot carry a mark
        if plain_input(size) >= LEAST_TOKENS:
            found.append(Place(number, index, state.digest(), plain_input(size)))
    last = len(request.messages) - 1
    return [place for place in found if (place.message, place.part) != (last, len(request.messages[last].parts) - 1)]


def is_marked(request: CompletionRequest) -> bool:
    """Whether the caller says itself what is to be kept."""
    if "cache_control" in request.extra or "cache_control" in (request.extra.get("anthropic") or {}):
        return True
    parts: Iterator[Any] = (part for message in request.messages for part in message.parts)
    return any(getattr(item, "cache", None) is not None for item in (*request.tools, *parts))


def marked(request: CompletionRequest, place: Place) -> CompletionRequest:
    """The request with its prompt marked to be kept up to that place."""
    message = request.messages[place.message]
    part = message.parts[place.part]
    assert not isinstance(part, Reasoning)  # `places` leaves these out
    parts = (*message.parts[: place.part], replace(part, cache=_KEPT_FOR), *message.parts[place.part + 1 :])
    messages = list(request.messages)
    messages[place.message] = replace(message, parts=parts)
    return replace(request, messages=tuple(messages))


class Prefixes:
    """The prefixes this process has met lately, and which of them the provider keeps now.

    Redis holds for each deployment and prefix who writes it (`penstock:prefix:<hash>` is `writing`) and that it is kept
    (`kept`), both with an expiry. Without Redis each process writes a prefix for itself.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._met: OrderedDict[bytes, tuple[float, int]] = OrderedDict()
        self._kept: OrderedDict[str, float] = OrderedDict()
        self._asking: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def helping(
        self, request: CompletionRequest, deployment: str, *, waits: bool
    ) -> AsyncIterator[CompletionRequest]:
        """Around one call: the request, with a mark where that pays.

        With `waits`, calls behind the first with its prefix wait until that is answered. A caller that marks its prompt
        itself knows better.
        """
        place = None if is_marked(request) else await self._place(request)
        if place is None:
            yield request
            return
        name = hashlib.blake2b(deployment.encode() + place.digest, digest_size=16).hexdigest()
        leads = await self._first(name) if waits and not self._is_kept(name) else False
        try:
            yield marked(request, place)
        except BaseException:
            if leads:
                await self._tell(name, None)
            raise
        self._keep(name)
        if leads:
            await self._tell(name, b"kept")

    async def _place(self, request: CompletionRequest) -> Place | None:
        """The end of the longest prefix that another prompt had too."""
        found = places(request)
        if not found:
            return None
        now = time.monotonic()
        for place in found:
            last, times = self._met.pop(place.digest, (now, 0))
            self._met[place.digest] = (now, times + 1 if now - last < KEPT_SECONDS else 1)
        while len(self._met) > _REMEMBERED:
            self._met.popitem(last=False)
        # Calls that begin in the same moment, such as the lines of a slice, meet each other here.
        await asyncio.sleep(0)
        repeated = [place for place in found if self._met.get(place.digest, (0.0, 0))[1] > 1]
        return repeated[-1] if repeated else None

    async def _first(self, name: str) -> bool:
        """Whether this call is to write the prefix; returns when it may be made."""
        lock = self._asking.setdefault(name, asyncio.Lock())
        deadline = time.monotonic() + _PATIENCE_SECONDS
        async with lock:  # one asks for all of this process
            try:
                while time.monotonic() < deadline and not self._is_kept(name):
                    key = f"{PREFIX}prefix:{name}"
                    if await self._redis.set(key, b"writing", nx=True, ex=int(_PATIENCE_SECONDS)):
                        return True
                    if await self._redis.get(key) == b"kept":
                        self._keep(name)
                        break
                    await asyncio.sleep(_POLL_SECONDS)
            except (RedisError, OSError) as error:
                _log.warning("Redis is away: a prompt is written for this process alone", error=type(error).__name__)
            finally:
                self._asking.pop(name, None)
        return False

    def _is_kept(self, name: str) -> bool:
        return time.monotonic() < self._kept.get(name, 0.0)

    def _keep(self, name: str) -> None:
        self._kept.pop(name, None)
        self._kept[name] = time.monotonic() + KEPT_SECONDS
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)

    async def _tell(self, name: str, state: bytes | None) -> None:
        key = f"{PREFIX}prefix:{name}"
        try:
            if state is None:
                await self._redis.delete(key)
            else:
                await self._redis.set(key, state, ex=int(KEPT_SECONDS))
        except (RedisError, OSError) as error:
            _log.warning("Redis is away: others do not hear of a kept prompt", error=type(error).__name__)


def _in_wire_order(messages: tuple[Message, ...]) -> Iterator[tuple[int, int, Message, Part]]:
    """The parts as the vendor reads them: what the system says first, wherever it stands."""
    for of_system in (True, False):
        for number, message in enumerate(messages):
            if (message.role == "system") is of_system:
                for index, part in enumerate(message.parts):
                    yield number, index, message, part


def _plain(item: Any) -> list[Any]:
    """The content of a tool or a part: everything but its mark."""
    values = (getattr(item, field.name) for field in fields(item) if field.name != "cache")
    return [[_plain(image) for image in value] if isinstance(value, tuple) else value for value in values]
