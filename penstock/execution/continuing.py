"""Calls that go on from what there is of an answer whose stream broke, where the model can."""

import time
from dataclasses import replace

from penstock.cache.exact import Entry, Shared
from penstock.cache.invalidation import Kept, Marks
from penstock.cache.key import cache_key
from penstock.completion import (
    CompletionRequest,
    CompletionResult,
    Finished,
    PartDelta,
    PartStarted,
    ResultBuilder,
    Usage,
)
from penstock.completion.continued import Joint, can_go_on, going_on, usable_part
from penstock.errors import InvalidRequest, PenstockError, ProviderRejected
from penstock.execution.call import Emit, Interrupted, Order
from penstock.execution.record import CallRecord
from penstock.execution.steps import Completes
from penstock.rules.estimates import plain_input


class ContinuingCaller:
    """A step before the caller, for models that are configured to go on from the beginning of an answer.

    What there is of a broken answer is kept beside the cache, never in it: it is not an answer, and only this step
    reads it. With masked text in it nothing is kept, as the cache holds none.
    """

    def __init__(self, inner: Completes, shared: Shared, marks: Marks) -> None:
        """`marks` say what was invalidated: a beginning may be as wrong as a whole."""
        self._inner = inner
        self._shared = shared
        self._marks = marks

    async def complete(
        self, order: Order[CompletionRequest], record: CallRecord, emit: Emit | None
    ) -> CompletionResult:
        """As `Caller.complete`.

        The usage told with an answer is of all calls that made it; of a broken one it is estimated, since no provider
        tells it. What the record has is of the calls made now.
        """
        key = _key(order)
        if key is None:
            return await self._inner.complete(order, record, emit)
        assert order.cache is not None  # else there is no key
        found = await self._part(key, order) if order.cache.reads else None
        began, calls = time.time(), len(record.attempts)
        try:
            if found is not None:
                try:
                    return await self._go_on(order, record, emit, found)
                except (InvalidRequest, ProviderRejected):
                    if record.emitted:
                        raise
                    # this server does not take the beginning of an answer: it gets the request as it is
                    found = None
            return await self._inner.complete(order, record, emit)
        except (Interrupted, PenstockError):
            part = usable_part(record.builder.build()) if record.emitted and order.cache.writes else None
            if part is not None:
                made = began if found is None else found.created
                broken = [attempt.usage for attempt in record.attempts[calls:]][-1:]
                part = replace(part, usage=Usage.together([*_usage_of(found), *broken]))
                entry = Entry(part, made, None, _models(order), order.cache.tags)
                await self._shared.keep_part(key, entry.to_bytes())
            raise

    async def _part(self, key: str, order: Order[CompletionRequest]) -> Entry | None:
        data = await self._shared.get_part(key)
        if data is None:
            return None
        entry = Entry.from_bytes(data)
        kept = Kept(order.tenant, (*_models(order), *entry.models), entry.tags)
        return entry if entry.created > self._marks.before(kept) else None

    async def _go_on(
        self, order: Order[CompletionRequest], record: CallRecord, emit: Emit | None, entry: Entry
    ) -> CompletionResult:
        part = entry.result
        assert isinstance(part, CompletionResult)  # its key says so
        fields = order.deployment.model_config.continues
        tokens = plain_input(len(part.text.encode("utf-8", "surrogatepass")), messages=0)
        request = going_on(order.request, part, tokens, fields if isinstance(fields, dict) else {})
        joint = _Joined(record if emit is not None else None, emit, part)
        inner = CallRecord(record.job_id, record.epoch, record.failures, record.attempts, keeping=record.keeping)
        try:
            shown = joint.add if emit is not None else None
            result = await self._inner.complete(replace(order, request=request), inner, shown)
        finally:
            record.failures, record.first = inner.failures, inner.first
        if emit is None:
            for event in result.events():
                joint.add(event)
        return joint.end(result)


class _Joined:
    """The whole as it grows; nothing of it is shown before the rest has begun, so that a call may be repeated."""

    def __init__(self, record: CallRecord | None, emit: Emit | None, part: CompletionResult) -> None:
        self._record = record
        self._emit = emit
        self._part = part
        self._builder = ResultBuilder()
        self._joint = Joint()
        self._begun = False

    def add(self, event: PartStarted | PartDelta) -> None:
        if not self._begun:
            self._begin()
        for shown in self._joint.read(event):
            self._show(shown)

    def end(self, result: CompletionResult) -> CompletionResult:
        if not self._begun:  # there was no more to say
            self._begin()
        usage = Usage.together([self._part.usage, result.usage])
        self._builder.add(Finished(result.finish_reasons, usage, result.stop_sequence))
        self._builder.upstream_model = result.upstream_model
        return self._builder.build()

    def _begin(self) -> None:
        self._begun = True
        if self._record is not None:
            self._record.builder = self._builder
        for event in self._part.events():
            self._show(event)

    def _show(self, event: PartStarted | PartDelta) -> None:
        self._builder.add(event)
        if self._record is not None and self._emit is not None:
            self._record.emitted = True
            self._emit(event)


def _usage_of(found: Entry | None) -> list[Usage]:
    """Of the calls that made what was gone on from."""
    return [found.result.usage] if found is not None else []


def _models(order: Order[CompletionRequest]) -> tuple[str, ...]:
    return order.request.model, order.deployment.name


def _key(order: Order[CompletionRequest]) -> str | None:
    """Under which a part of the answer is kept; None: it cannot be, or must not."""
    policy = order.cache
    if not order.deployment.model_config.continues or policy is None or order.mask:
        return None
    if not (policy.reads or policy.writes) or not can_go_on(order.request):
        return None
    return cache_key(order.tenant, order.deployment, order.request)
