"""One stage of an escalating route: ask its next model, or several at once, judge what comes, and finish or go on.

A stage is stored when it is whole: whoever is killed in it leaves a job that begins the stage again. Of models that are
asked at once, what the quick ones answered is kept meanwhile, so that only calls that were under way are made again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

from penstock.completion import CompletionRequest, CompletionResult, EmbeddingRequest, PartDelta, PartStarted, Usage
from penstock.completion.outcome import Outcome
from penstock.completion.step import RouteStep
from penstock.errors import NoModelFits, PenstockError, ProviderRateLimited, Unavailable
from penstock.execution.accept import Candidate, Escalation
from penstock.execution.call import Deferred, Emit
from penstock.execution.guarded import replay
from penstock.execution.record import CallRecord
from penstock.execution.stages import may_see
from penstock.execution.work import Hop, Work
from penstock.store.finish import Attempt
from penstock.store.jobs import ClaimedJob

#: seconds for which the quota of a judge is waited for: the answer it is to judge is paid for already
JUDGE_PATIENCE = 30.0

#: makes the calls of one work; raises as `Pipeline.run`, and the errors of the call
Answer = Callable[[Work], Awaitable[Outcome]]


class Watch(Protocol):
    """Is told of every stage."""

    def __call__(self, route: str, steps: Sequence[RouteStep], chosen: RouteStep | None, *, first: bool) -> None:
        """`steps` were asked, `chosen` is the one that was accepted, if any; `first` of the job's stages or not."""
        ...


class Early(Protocol):
    """Keeps what some of several models answered while others are still asked."""

    def keep(self, job: ClaimedJob, place: int, step: RouteStep, attempts: Sequence[Attempt]) -> None:
        """Keep an answer by its place among the models, and write down the calls it took."""
        ...

    async def of(self, job: ClaimedJob) -> list[RouteStep]:
        """What was kept for a job by earlier claims.

        Raises:
            Unavailable: it cannot be found out now.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Ended:
    """What became of one of the calls of a stage."""

    work: Work
    result: CompletionResult | None
    error: Exception | None


class Stages:
    """Runs the stages of escalating routes, one for each claim of a job."""

    def __init__(
        self,
        answer: Answer,
        shut_for: Callable[[str], float],
        fallback_on: Callable[[str], frozenset[str]],
        watch: Watch,
        early: Early,
    ) -> None:
        """`shut_for` says for how long a deployment's breaker is open, `fallback_on` what a route goes on after."""
        self._answer = answer
        self._shut_for = shut_for
        self._fallback_on = fallback_on
        self._watch = watch
        self._early = early

    async def run(
        self, escalation: Escalation, work: Work, request: CompletionRequest, onward: Sequence[Sequence[str]]
    ) -> Outcome:
        """The answer that is accepted; `onward` are the steps after this job's present one, each with its models.

        Raises:
            Hop: none is, and the next model is asked in its own queue.
            Deferred, Interrupted, PenstockError: as `Pipeline.run`, where no answer can be had here.
        """
        better = escalation.pointless(work.deployment)
        if better is not None and any(better in step for step in onward):
            raise Hop(better, _after(work.job, better, ()))
        works = self._works(escalation, work, request, onward)
        try:
            return await self._stage(escalation, works, request, onward)
        finally:
            # also where it was cut short: the money was spent
            for other in works[1:]:
                work.record.absorb(other.record)

    async def _stage(
        self, escalation: Escalation, works: Sequence[Work], request: CompletionRequest, onward: Sequence[Sequence[str]]
    ) -> Outcome:
        work, record = works[0], works[0].record
        ended = (
            [await self._one(work, self._shown(escalation, work, request, onward))]
            if len(works) == 1
            else await self._all(works)
        )
        # one that had no quota at once is asked afterwards; one that failed is not asked again
        left = [one.work.deployment for one in ended if isinstance(one.error, Deferred)]
        rest = [*left, *(name for step in onward[len(works) - 1 :] for name in step)]
        candidates = [self._candidate(one.work, one.result) for one in ended if one.result is not None]
        if not candidates:
            return self._unanswered(escalation, ended[0], request, rest)
        steps, chosen = await escalation.judged(
            request,
            candidates,
            record.earlier,
            last=not rest,
            tenant=work.job.tenant_id,
            custom_id=work.job.custom_id,
        )
        self._watch(escalation.route, steps, chosen, first=not record.earlier)
        if chosen is None:
            usable = next((name for name in rest if not self._shut_for(name)), rest[0])
            asked = [one.work.deployment for one in ended if one.work.deployment not in left]
            raise Hop(usable, _after(work.job, usable, asked), steps)
        record.beside = [step for step in steps if step is not chosen]
        result = escalation.as_asked(request, chosen.result)
        if work.emit is not None and not record.emitted:
            replay(result, record, work.emit)
        return Outcome(result=result, routing=escalation.explain([*record.earlier, *steps], chosen))

    def _beside(self, escalation: Escalation, work: Work, onward: Sequence[Sequence[str]]) -> list[str]:
        """The models that are asked at the same time: those of the steps that follow, on the first stage only."""
        if work.job.route_step:
            return []
        following = [step[0] for step in onward[: escalation.parallel - 1]]
        shut = next((place for place, name in enumerate(following) if self._shut_for(name)), len(following))
        return following[:shut]

    def _works(
        self, escalation: Escalation, work: Work, request: CompletionRequest, onward: Sequence[Sequence[str]]
    ) -> list[Work]:
        """The calls of this stage: the job's own, and those beside it."""
        asked = escalation.asking(request, work.deployment) if onward else request
        own = replace(work, request=asked)
        beside = self._beside(escalation, work, onward)
        if not beside:
            return [own]
        works = [replace(own, fallback_on=frozenset())]
        for name in beside:
            record = CallRecord(work.job.id, work.job.epoch)
            asked = escalation.asking(request, name)
            works.append(replace(works[0], request=asked, deployment=name, record=record, at_once=True))
        return works

    async def _all(self, works: Sequence[Work]) -> list[_Ended]:
        job = works[0].job
        kept = {step.deployment: step for step in await self._early.of(job)} if job.epoch > 1 else {}
        under_way = sum(work.deployment not in kept for work in works)

        async def one(place: int, work: Work) -> _Ended:
            nonlocal under_way
            before = kept.get(work.deployment)
            if before is not None:
                work.record.recorded.append(before)
                return _Ended(work, before.result, None)
            ended = await self._caught(work)
            under_way -= 1
            if under_way and ended.result is not None:
                step = self._candidate(work, ended.result).step()
                self._early.keep(job, place, step, work.record.give_away())
            return ended

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(place, replace(work, emit=None))) for place, work in enumerate(works)]
        return [task.result() for task in tasks]

    async def _one(self, work: Work, emit: Emit | None) -> _Ended:
        """The one call of a stage; where it fails, an earlier answer may stand, or else its error is raised."""
        try:
            outcome = await self._answer(replace(work, emit=emit))
        except PenstockError as error:
            if not work.record.earlier or isinstance(error, Unavailable) or work.record.emitted:
                raise
            return _Ended(work, None, error)
        return _Ended(work, outcome.result, None)

    async def _caught(self, work: Work) -> _Ended:
        """One of several calls: what it comes to is looked at when all are there."""
        try:
            outcome = await self._answer(work)
        except (Deferred, PenstockError) as error:
            return _Ended(work, None, error)
        return _Ended(work, outcome.result, None)

    def _unanswered(
        self, escalation: Escalation, first: _Ended, request: CompletionRequest, rest: Sequence[str]
    ) -> Outcome:
        """No answer came on this stage: an earlier one stands, the next model is asked, or the error does."""
        work, error, record = first.work, first.error, first.work.record
        assert error is not None  # it was not answered
        if not isinstance(error, PenstockError) or isinstance(error, Unavailable):
            raise error
        if record.earlier:
            result, routing = escalation.best(request, record.earlier, work.deployment, error)
            if work.emit is not None:
                replay(result, record, work.emit)
            return Outcome(result=result, routing=routing)
        if error.fallback_reason in self._fallback_on(work.job.model) and rest:
            raise Hop(rest[0], _after(work.job, rest[0], [work.deployment]))
        raise error

    def _candidate(self, work: Work, result: CompletionResult) -> Candidate:
        record = work.record

        def spent() -> tuple[Usage, Decimal | None]:
            return record.own_usage, record.own_cost

        return Candidate(work.deployment, result, spent, _Asking(self._answer, work))

    def _shown(
        self, escalation: Escalation, work: Work, request: CompletionRequest, onward: Sequence[Sequence[str]]
    ) -> Emit | None:
        """Where chunks go as they come: those of the last model, and of all where a stream can begin anew."""
        if not onward or work.emit is None:
            return work.emit
        if not escalation.shows or work.job.dialect != "job" or work.job.batch_id is not None:
            return None
        return work.emit if request.logprobs else _without_logprobs(work.emit)


@dataclass(frozen=True, slots=True)
class _Asking:
    """Asks one more model for the sake of an answer, whose cost then includes that call's."""

    answer: Answer
    work: Work

    async def __call__(self, deployment: str, request: CompletionRequest) -> CompletionResult:
        """See `Ask`."""
        size = sum(len(message.text) for message in request.messages)
        outcome = await self._one(deployment, request, size)
        assert outcome.result is not None  # a completion has one
        return outcome.result

    async def embed(self, deployment: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """See `Ask`."""
        outcome = await self._one(
            deployment, EmbeddingRequest(model=deployment, inputs=tuple(texts)), sum(map(len, texts))
        )
        assert outcome.embeddings is not None  # what was asked for
        return outcome.embeddings.vectors

    async def _one(self, deployment: str, request: CompletionRequest | EmbeddingRequest, size: int) -> Outcome:
        work = self.work
        if not may_see(work.job, deployment):
            raise NoModelFits(f"The model `{deployment}` may not see this request.")
        own = CallRecord(work.job.id, work.job.epoch)
        more = replace(
            work,
            request=request,
            deployment=deployment,
            record=own,
            emit=None,
            size=size,
            fallback_on=frozenset(),
            at_once=False,
        )
        try:
            return await self._patiently(more)
        finally:
            work.record.absorb(own)

    async def _patiently(self, work: Work) -> Outcome:
        deadline = time.monotonic() + JUDGE_PATIENCE
        while True:
            try:
                return await self.answer(work)
            except Deferred as deferred:
                if time.monotonic() + deferred.wait > deadline:
                    message = f"There is no quota left for model `{work.deployment}`."
                    raise ProviderRateLimited(message, retry_after=deferred.wait) from deferred
                await asyncio.sleep(deferred.wait)


def _after(job: ClaimedJob, chosen: str, asked: Sequence[str]) -> list[str]:
    """What a job may fall back to once it is at `chosen`: what follows that in its order, and was not asked yet."""
    left = list(job.fallback or ())
    following = left[left.index(chosen) + 1 :] if chosen in left else left
    return [name for name in following if name not in asked]


def _without_logprobs(emit: Emit) -> Emit:
    """Chunks as the stored answer will have them (`CompletionResult.without_logprobs`)."""

    def shown(event: PartStarted | PartDelta) -> None:
        if isinstance(event, PartDelta):
            if not event.text and event.signature is None:
                return
            event = replace(event, logprobs=())
        emit(event)

    return shown
