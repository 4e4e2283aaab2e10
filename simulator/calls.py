"""The life of one call: arrival, checks, quota, faults, latency, answer."""

import asyncio
import os
import time

from aiohttp import web

from simulator import breakage
from simulator.answers import Draws, lognormal
from simulator.ledger import Ledger, RequestRecord
from simulator.limits import Quota
from simulator.options import Faults, SimulatorOptions
from simulator.question import Question
from simulator.recordings import Recordings
from simulator.refusal import RefusalError
from simulator.streaming import half, write_paced
from simulator.vendor import Call, Endpoint, Head, Reply, Vendor

_BREAKING = ("hang", "reset", "cut")
_STREAM_ORDERS = frozenset({"stall", "error-frame"})


class Provider:
    """One simulated provider: what it is, what it has seen, what is left of its quota, what is wrong with it."""

    def __init__(self, options: SimulatorOptions, vendor: Vendor) -> None:
        self.options = options
        self.vendor = vendor
        self.ledger = Ledger()
        self.faults = Faults.of(options)
        self.quota = Quota(options)
        self._start = os.urandom(6).hex()
        self._count = 0

    def reset(self) -> None:
        """As freshly started; calls in flight go on."""
        self.faults = Faults.of(self.options)
        self.quota = Quota(self.options)
        self.ledger.clear()

    def new_call(self) -> Call:
        """A call with an id that no other call of this or another simulator has."""
        self._count += 1
        return Call(f"{self._start}{self._count:08x}", int(time.time()), time.perf_counter(), self.options)

    def authorise(self, head: Head) -> None:
        """Check the key, when one is wanted.

        Raises:
            RefusalError: the key is missing or wrong.
        """
        if self.options.api_key is not None:
            self.vendor.authorise(head, self.options.api_key)

    def refuse(self, refusal: RefusalError, call: Call) -> web.Response:
        """The vendor's error answer."""
        body, headers = self.vendor.error(refusal, call.id, self.quota.state())
        return web.Response(status=refusal.status, body=body, headers=headers)

    def success_headers(self, call: Call) -> dict[str, str]:
        """The vendor's headers of a good answer, as the quota stands now."""
        return self.vendor.headers(call.id, self.quota.state(), int((time.perf_counter() - call.began) * 1000))

    def fault_for(self, draw: float) -> str | None:
        """The fault that chance orders for a number in [0, 1)."""
        edge = 0.0
        for name in ("error", "overload", "hang", "reset", "cut"):
            edge += getattr(self.faults, f"{name}_rate")
            if draw < edge:
                return name
        return None


def head_of(request: web.Request, body: bytes = b"") -> Head:
    """What a vendor may look at before it answers."""
    target, method = request.raw_path, request.method
    return Head(request.headers, request.match_info, request.query, method=method, target=target, body=body)


class CallHandler:
    """Serves one endpoint of a provider."""

    def __init__(self, provider: Provider, endpoint: Endpoint) -> None:
        self._provider = provider
        self._endpoint = endpoint

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one call, or fail it as ordered."""
        provider = self._provider
        ledger = provider.ledger
        call = provider.new_call()
        if self._endpoint.metered:
            ledger.arrived()
        try:
            await self._outage(request)
            head = head_of(request, await self._body(request))
            provider.authorise(head)
            question = self._read(head)
            if self._endpoint.metered:
                return await self._serve(request, question, call)
            return self._plain(self._endpoint.reply(question, call), call)
        except RefusalError as refusal:
            ledger.by_status[refusal.status] += 1
            return provider.refuse(refusal, call)
        except breakage.ConnectionDroppedError:
            # The server insists on an answer; it goes nowhere.
            return web.Response(status=500)
        except (asyncio.CancelledError, ConnectionError):
            ledger.abandoned += 1
            raise

    async def _body(self, request: web.Request) -> bytes:
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise RefusalError(413, "The body of your request is too large.") from error

    def _read(self, head: Head) -> Question:
        question = self._endpoint.read(head.body, head)
        models = self._provider.options.models
        if models is not None and question.model not in models:
            raise self._provider.vendor.unknown_model(question.model)
        if self._provider.options.recorded is not None and self._endpoint.generates and self._endpoint.metered:
            self._recall(question, self._provider.options.recorded)
        return question

    def _recall(self, question: Question, recordings: Recordings) -> None:
        """Put the recorded answer beside the question.

        Raises:
            RefusalError: none was recorded. Several prompts in one call, as legacy completions have them, never are.
        """
        found = None if question.inputs else recordings.find(question.model, question.last)
        if found is None:
            raise RefusalError(404, f"No answer of {question.model} to this prompt was recorded.", code="not_recorded")
        question.recorded = found
        if found.input_tokens is not None:
            question.input_tokens = found.input_tokens

    async def _serve(self, request: web.Request, question: Question, call: Call) -> web.StreamResponse:
        provider, ledger = self._provider, self._provider.ledger
        key = request.headers.get("x-simulator-key")
        record = ledger.understood(question.fingerprint, question.last, question.model, question.user, key)
        expected = question.n * (question.max_tokens or provider.options.answer_tokens)
        hit = provider.quota.admit(question.input_tokens, expected if self._endpoint.generates else 0)
        if hit is not None:
            raise RefusalError(429, "Rate limit reached.", limit=hit)
        draws = Draws.of(provider.options.seed, question.fingerprint, record.calls)
        with ledger.working():
            cut = await self._faults(request, question, record, draws.fault)
            await self._wait(question, draws.latency)
            reply = self._endpoint.reply(question, call)
            if question.stream:
                response, whole = await self._stream(request, question, reply, call, cut=cut)
            elif cut:
                response, whole = await self._half_plain(request, reply, call), False
            else:
                provider.quota.settle(reply.output_tokens)
                response, whole = self._plain(reply, call), True
            if whole:
                ledger.done(record, question.input_tokens, reply.output_tokens, question.cache_use)
            return response

    async def _outage(self, request: web.Request) -> None:
        provider = self._provider
        kind = provider.faults.outage_now()
        if kind == "none":
            return
        provider.ledger.by_fault["outage"] += 1
        if kind == "reset":
            breakage.reset(request)
        if kind == "hang":
            await breakage.hang()
        raise provider.vendor.fault(provider.vendor.overload_status)

    async def _faults(self, request: web.Request, question: Question, record: RequestRecord, draw: float) -> bool:
        """Fail as the message or chance orders; the result says whether to cut the answer half-way."""
        provider, orders = self._provider, question.directives
        if orders.error is not None:
            refusal = provider.vendor.fault(orders.error)
            refusal.code = orders.error_code or refusal.code
            raise refusal
        if record.failed_on_purpose < orders.fail:
            record.failed_on_purpose += 1
            raise provider.vendor.fault(orders.fail_status)
        fault = next((name for name in _BREAKING if name in orders.flags), None)
        if fault is None:
            fault = provider.fault_for(draw)
            # Chance cuts streams only; a plain answer is short on the wire.
            if fault is None or (fault == "cut" and not question.stream):
                return False
        provider.ledger.by_fault[fault] += 1
        if fault == "error":
            raise provider.vendor.fault(500)
        if fault == "overload":
            raise provider.vendor.fault(provider.vendor.overload_status)
        if fault == "hang":
            await breakage.hang()
        if fault == "reset":
            breakage.reset(request)
        return True

    async def _wait(self, question: Question, draw: float) -> None:
        options = self._provider.options
        milliseconds = options.latency_ms
        if question.stream and options.time_to_first_token_ms is not None:
            milliseconds = options.time_to_first_token_ms
        if question.directives.delay_ms is not None:
            milliseconds = question.directives.delay_ms
        elif options.latency_distribution == "lognormal" and milliseconds:
            milliseconds = lognormal(milliseconds, options.latency_sigma, draw)
        milliseconds += self._provider.faults.slow_ms
        if milliseconds > 0:
            await asyncio.sleep(milliseconds / 1000)

    def _plain(self, reply: Reply, call: Call) -> web.Response:
        headers = self._provider.success_headers(call) | reply.headers
        headers["Content-Type"] = "application/json"
        return web.Response(body=reply.body, headers=headers)

    async def _half_plain(self, request: web.Request, reply: Reply, call: Call) -> web.StreamResponse:
        headers = self._provider.success_headers(call)
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(reply.body))}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(reply.body[: len(reply.body) // 2])
        breakage.close(request)
        return response

    async def _stream(
        self, request: web.Request, question: Question, reply: Reply, call: Call, *, cut: bool
    ) -> tuple[web.StreamResponse, bool]:
        """Stream the answer; the flag says whether it went out whole."""
        provider, flags = self._provider, question.directives.flags
        headers = provider.success_headers(call)
        headers |= {"Content-Type": self._endpoint.stream_type, "Cache-Control": "no-cache"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        whole = not cut and not flags & _STREAM_ORDERS
        frames = reply.frames if whole else half(reply.frames)
        await write_paced(response, frames, provider.options)
        provider.quota.settle(reply.output_tokens if whole else reply.output_tokens // 2)
        for order in flags & _STREAM_ORDERS:
            provider.ledger.by_fault[order] += 1
        if "stall" in flags:
            await breakage.hang()
        if "error-frame" in flags:
            await response.write(self._endpoint.error_frame(len(frames)))
        if cut:
            breakage.close(request)
        if whole:
            await response.write_eof()
        return response, whole
