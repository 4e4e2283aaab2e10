"""Jobs and events for the tests of dialects, made by hand and drawn at random."""

import itertools
import json
import uuid
from dataclasses import replace
from typing import Any

import httpx
import openai
from hypothesis import strategies as st

from penstock.completion import CompletionResult, Finished, PartDelta, PartStarted, ResultBuilder, Usage
from penstock.completion.events import FinishReason
from penstock.dialects.facts import JobFacts

Events = list[PartStarted | PartDelta]

USAGE = Usage(input_tokens=9, output_tokens=5, cached_tokens=3, cache_write_tokens=1, reasoning_tokens=2)
CREATED, FINISHED = 1_790_000_000, 1_790_000_004
#: what clients and naive line readers stumble over
AWKWARD = [
    "",
    "a",
    "Zürich",
    "漢字かな",
    "👩‍👩‍👧‍👦",
    "🇨🇭",
    "e\u0301",
    "שלום",
    "\u2028",
    "\u2029",
    "\x85",
    "\r\n",
    '"\\',
    "\x00",
    "data: x\n\n",
]
texts = st.one_of(st.sampled_from(AWKWARD), st.text(max_size=5))


def pending(body: dict[str, Any] | None = None, *, background: bool = True) -> JobFacts:
    """A job as it was accepted."""
    return JobFacts(
        id=uuid.UUID("0190f3c2-7a10-7bbb-8ccc-0123456789ab"),
        created_at=CREATED,
        finished_at=None,
        state="pending",
        started=False,
        background=background,
        model="m",
        body=body or {"model": "m", "input": "Hi", "prompt": "Hi", "messages": [{"role": "user", "content": "Hi"}]},
        result=None,
        error=None,
    )


def result_of(events: Events, *reasons: FinishReason) -> CompletionResult:
    """The stored answer; without finish reasons it was cut short."""
    builder = ResultBuilder()
    for event in events:
        builder.add(event)
    if reasons:
        builder.add(Finished(reasons, USAGE))
    return CompletionResult.from_json(json.loads(json.dumps(builder.build().to_json())))


def ended(facts: JobFacts, events: Events, *reasons: FinishReason) -> JobFacts:
    """The same job with its answer."""
    result = result_of(events, *(reasons or ("stop",)))
    return replace(facts, state="succeeded", started=True, finished_at=FINISHED, result=result)


def failed(facts: JobFacts, events: Events, status: int = 502, code: str | None = None) -> JobFacts:
    """The same job, broken off."""
    error = {"type": "ProviderError", "message": "it broke", "status": status, "param": None, "code": code}
    result = result_of(events) if events else None
    return replace(facts, state="failed", started=True, finished_at=FINISHED, result=result, error=error)


def entry(token: str, *, known_bytes: bool = True) -> dict[str, Any]:
    """The log probability of one token."""
    found = list(token.encode()) if known_bytes else None
    top = {"token": token, "logprob": -0.5, "bytes": found}
    return {**top, "top_logprobs": [top]}


@st.composite
def event_lists(draw: st.DrawFn, choices: int = 1) -> Events:
    """Parts of all kinds that start and grow in any order, also interleaved."""
    events: Events = []
    kinds: list[str] = []
    for _ in range(draw(st.integers(0, 25))):
        if not kinds or draw(st.integers(0, 4)) == 0:
            kind = draw(st.sampled_from(["text", "reasoning", "refusal", "tool_call"]))
            given_id = draw(st.sampled_from([None, f"call_{len(kinds)}"]))
            call = kind == "tool_call"
            choice = draw(st.integers(0, choices - 1))
            events.append(PartStarted(len(kinds), kind, choice, given_id if call else None, "f" if call else None))
            kinds.append(kind)
            continue
        part, text = draw(st.integers(0, len(kinds) - 1)), draw(texts)
        logprobs = (entry(text, known_bytes=draw(st.booleans())),) if kinds[part] == "text" and text == "a" else ()
        events.append(PartDelta(part, text, logprobs))
    return events


@st.composite
def interleavings(draw: st.DrawFn) -> Events:
    """Parts that grow by turns in any way; the arguments of tool calls are JSON, cut anywhere."""
    queues: list[Events] = []
    for part in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(["text", "reasoning", "refusal", "tool_call"]))
        pieces = draw(st.lists(texts, max_size=4))
        if kind == "tool_call":
            whole = json.dumps(draw(st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=3)))
            cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
            pieces = [whole[a:b] for a, b in itertools.pairwise([0, *cuts, len(whole)])]
        queues.append([PartStarted(part, kind, 0, None, "f"), *(PartDelta(part, piece) for piece in pieces)])
    begun, events = 0, []
    while any(queues):
        # parts start in the order of their numbers
        part = draw(st.sampled_from([part for part, queue in enumerate(queues) if queue and part <= begun]))
        begun += part == begun
        events.append(queues[part].pop(0))
    return events


def sdk(stream: bytes) -> openai.OpenAI:
    """The vendor's client, to which any call answers with this stream."""

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    http = httpx.Client(transport=httpx.MockTransport(answer))
    return openai.OpenAI(api_key="k", base_url="http://stream/v1", max_retries=0, http_client=http)


def sse(stream: bytes) -> list[tuple[dict[str, str], Any]]:
    """The frames of a stream, cut at line feeds only: its fields, and the data as JSON."""
    frames = []
    for block in stream.decode("ascii").split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        data = fields.pop("data")
        frames.append((fields, data if data == "[DONE]" else json.loads(data)))
    return frames
