"""The prompt caches of Anthropic and Bedrock: what is kept, how long, and what a call reads from it or writes to it.

As the vendor documents it (docs.claude.com, "Prompt caching"): the order is tools, system, messages; a block with
`cache_control` ends a prefix that is kept for 5 minutes (or 1 hour), counted from its last use; prefixes under 1,024
tokens are not kept; at most four blocks are marked; and what is read may end up to 20 blocks before a mark. A prefix
can be read once the answer to the call that wrote it has begun, so calls that run side by side write it each for
itself. Bedrock does the same with other marks (its user guide, "Prompt caching"): a `cachePoint` block ends a prefix.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import orjson

from simulator import tokens
from simulator.refusal import RefusalError

LEAST_TOKENS = 1024
MOST_MARKS = 4
_LOOK_BACK = 20
_SECONDS = {"5m": 300.0, "1h": 3600.0}


@dataclass(frozen=True, slots=True)
class Prefix:
    """The prompt up to the end of one block. `seconds` is set where a mark asks to keep it."""

    digest: bytes
    tokens: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Tokens of one prompt that were read from the cache, and written to it."""

    read: int = 0
    written: int = 0


@dataclass(slots=True)
class PromptCache:
    """The prefixes kept. Times are those of one monotonic clock, in seconds."""

    #: since when an entry can be read, and until when
    _kept: dict[bytes, tuple[float, float]] = field(default_factory=dict)

    def use(self, prefixes: list[Prefix], began: float, now: float) -> CacheUse:
        """Count a call that came at `began` and is answered `now`."""
        marks = [index for index, prefix in enumerate(prefixes) if prefix.seconds and prefix.tokens >= LEAST_TOKENS]
        if not marks:
            return CacheUse()
        near = {index for mark in marks for index in range(max(0, mark - _LOOK_BACK), mark + 1)}
        found = max((index for index in near if self._readable(prefixes[index], began)), default=None)
        read = prefixes[found].tokens if found is not None else 0
        for mark in marks:
            alive = self._readable(prefixes[mark], now)
            since = self._kept[prefixes[mark].digest][0] if alive else now
            self._kept[prefixes[mark].digest] = (since, now + (prefixes[mark].seconds or 0.0))
        return CacheUse(read, max(0, prefixes[marks[-1]].tokens - read))

    def _readable(self, prefix: Prefix, began: float) -> bool:
        since, until = self._kept.get(prefix.digest, (began, began))
        return since <= began < until


def prefixes_of(body: dict[str, Any]) -> list[Prefix]:
    """The prefixes of a prompt on Anthropic's wire, block by block.

    Raises:
        RefusalError: 400 where marks are wrong.
    """
    blocks = ((_plain(block, "cache_control"), _seconds(block.get("cache_control"))) for block in _blocks(body))
    found = _prefixes(str(body.get("model")), blocks)
    marks = sum(prefix.seconds is not None for prefix in found)
    if marks > MOST_MARKS:
        raise RefusalError(400, f"A maximum of {MOST_MARKS} blocks with cache_control may be provided. Found {marks}.")
    return found


def bedrock_prefixes(body: dict[str, Any], model: str) -> list[Prefix]:
    """The prefixes of a prompt of Converse, block by block.

    Raises:
        RefusalError: 400 where marks are wrong.
    """
    marked: list[tuple[dict[str, Any], float | None]] = []
    for block in _converse_blocks(body):
        if "cachePoint" not in block:
            marked.append((block, None))
            continue
        if not marked or block["cachePoint"] != {"type": "default"}:
            raise RefusalError(400, "A cachePoint of type default stands behind what it keeps.")
        marked[-1] = (marked[-1][0], _SECONDS["5m"])
    if sum(seconds is not None for _, seconds in marked) > MOST_MARKS:
        raise RefusalError(400, f"There can be at most {MOST_MARKS} cachePoint blocks.")
    return _prefixes(model, marked)


def _prefixes(model: str, blocks: Iterable[tuple[dict[str, Any], float | None]]) -> list[Prefix]:
    state = blake2b(model.encode(), digest_size=16)
    found: list[Prefix] = []
    size = 0
    for block, seconds in blocks:
        state.update(orjson.dumps(block, option=orjson.OPT_SORT_KEYS))
        size += tokens.count(_text(block))
        found.append(Prefix(state.digest(), size, seconds))
    return found


def _plain(block: dict[str, Any], mark: str) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name != mark}


def _converse_blocks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (body.get("toolConfig") or {}).get("tools") or ()
    yield from body.get("system") or ()
    for message in body.get("messages") or ():
        for block in message.get("content") or ():
            yield block if "cachePoint" in block else {**block, "_role": message.get("role")}


def _blocks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from body.get("tools") or ()
    yield from _content(body.get("system") or [], "system")
    for message in body.get("messages") or ():
        yield from _content(message.get("content"), message.get("role"))


def _content(content: Any, role: str) -> Iterator[dict[str, Any]]:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for block in content:
        yield {**block, "_role": role}


def _text(block: dict[str, Any]) -> str:
    return block["text"] if isinstance(block.get("text"), str) else orjson.dumps(block).decode()


def _seconds(control: Any) -> float | None:
    if control is None:
        return None
    if not isinstance(control, dict) or control.get("type") != "ephemeral" or control.get("ttl", "5m") not in _SECONDS:
        raise RefusalError(400, "cache_control: Input should be {'type': 'ephemeral'} with ttl '5m' or '1h'")
    return _SECONDS[control.get("ttl", "5m")]
