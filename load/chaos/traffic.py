"""The load: batches, background responses with subscribers that come back, jobs, and clients that wait.

Every submission carries an Idempotency-Key and is sent again until it is answered: what was answered 2xx is accepted.
"""

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

PATIENT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)
_AGAIN_SECONDS = 0.5
MODEL = "chaos"
#: of these a client comes back and asks again; anything else is an answer
_RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504})


class Refused(Exception):
    """A request was refused for good; the message is the answer."""


@dataclass(slots=True)
class Seen:
    """What one subscriber read of a response: its text, the last event's type, how often it had to come back."""

    response_id: str
    text: str = ""
    ended: str = ""
    returned: int = 0
    last: int = -1
    numbers: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Submitted:
    """What was accepted: each batch with its custom_ids, responses, jobs, and what their subscribers saw."""

    batches: dict[str, list[str]] = field(default_factory=dict)
    responses: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    waited: int = 0
    #: answers to foreground calls that were not 200
    turned_away: int = 0


class Client:
    """One client of Penstock, which does not give up."""

    def __init__(self, session: aiohttp.ClientSession, tag: str) -> None:
        self._session = session
        self._tag = tag
        self._keys = 0

    async def ask(self, method: str, path: str, **content: Any) -> bytes:
        """Ask until there is an answer.

        Raises:
            Refused: the answer is an error that will stay.
        """
        while True:
            try:
                async with self._session.request(method, path, **content) as answer:
                    body = await answer.read()
                    if answer.status in _RETRIED:
                        await asyncio.sleep(_AGAIN_SECONDS)
                        continue
                    if answer.status >= 400:
                        raise Refused(f"{method} {path}: {answer.status} {body[:300]!r}")
                    return body
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(_AGAIN_SECONDS)

    async def submit(self, path: str, **content: Any) -> dict[str, Any]:
        """POST something that must be made once, however often it is sent."""
        self._keys += 1
        headers = {"idempotency-key": f"{self._tag}-{self._keys}"}
        found: dict[str, Any] = orjson.loads(await self.ask("POST", path, headers=headers, **content))
        return found

    async def get(self, path: str) -> dict[str, Any]:
        """GET an object."""
        found: dict[str, Any] = orjson.loads(await self.ask("GET", path))
        return found

    async def batch(self, name: str, lines: int, submitted: Submitted) -> None:
        """Upload a file and make a batch of it."""
        names = [f"{name}-{number}" for number in range(lines)]
        file = b"\n".join(_line(tag) for tag in names)
        upload = aiohttp.FormData({"purpose": "batch"})
        upload.add_field("file", file, filename="chaos.jsonl")
        # a form can be sent once only; a file that was made twice is no job
        made: dict[str, Any] | None = None
        while made is None:
            try:
                async with self._session.post("/v1/files", data=upload) as answer:
                    made = await answer.json() if answer.status == 200 else None
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(_AGAIN_SECONDS)
            upload = aiohttp.FormData({"purpose": "batch"})
            upload.add_field("file", file, filename="chaos.jsonl")
        order = {"input_file_id": made["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        batch = await self.submit("/v1/batches", json=order)
        submitted.batches[batch["id"]] = names

    async def response(self, tag: str, readers: int, submitted: Submitted) -> None:
        """A background response, and subscribers that read it to its end."""
        body = {"model": MODEL, "background": True, "input": f"[[tokens: 40]] {tag}!", "max_output_tokens": 60}
        made = await self.submit("/v1/responses", json=body)
        submitted.responses.append(made["id"])
        seen = [Seen(made["id"]) for _ in range(readers)]
        submitted.seen += seen
        await asyncio.gather(*(self._follow(each) for each in seen))

    async def job(self, tag: str, callback_url: str, submitted: Submitted) -> None:
        """A job of Penstock's own interface, whose end is told to `callback_url`."""
        messages = [{"role": "user", "content": f"[[tokens: 10]] {tag}!"}]
        body = {"model": MODEL, "messages": messages, "max_tokens": 30, "callback_url": callback_url}
        made = await self.submit("/v1/jobs", json=body)
        submitted.jobs.append(made["id"])

    async def call(self, tag: str, submitted: Submitted) -> None:
        """A foreground call; a client that was hung up on asks again, and that is another job."""
        for number in itertools.count():
            messages = [{"role": "user", "content": f"[[tokens: 5]] {tag}-{number}!"}]
            try:
                body = {"model": MODEL, "messages": messages, "max_tokens": 30}
                async with self._session.post("/v1/chat/completions", json=body) as answer:
                    await answer.read()
                    if answer.status == 200:
                        submitted.waited += 1
                        return
                    submitted.turned_away += 1
            except (aiohttp.ClientError, TimeoutError):
                submitted.turned_away += 1
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _follow(self, seen: Seen) -> None:
        """Read a stream to its last event; whenever it is cut, come back with `starting_after`."""
        while not seen.ended:
            params = {"stream": "true"} | ({"starting_after": str(seen.last)} if seen.last >= 0 else {})
            try:
                async with self._session.get(f"/v1/responses/{seen.response_id}", params=params) as answer:
                    if answer.status == 200:
                        async for line in answer.content:
                            _take(seen, line)
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(_AGAIN_SECONDS * random.random())
            if not seen.ended:
                seen.returned += 1
                await asyncio.sleep(0.1)


def _take(seen: Seen, line: bytes) -> None:
    if not line.startswith(b"data: "):
        return
    event = orjson.loads(line[6:])
    seen.last = event["sequence_number"]
    seen.numbers.append(seen.last)
    if event["type"] == "response.output_text.delta":
        seen.text += event["delta"]
    elif event["type"] in ("response.completed", "response.failed", "response.incomplete", "error"):
        seen.ended = event["type"].removeprefix("response.")


def _line(tag: str) -> bytes:
    body = {"model": MODEL, "max_tokens": 30, "messages": [{"role": "user", "content": f"[[tokens: 10]] {tag}!"}]}
    return orjson.dumps({"custom_id": tag, "method": "POST", "url": "/v1/chat/completions", "body": body})
