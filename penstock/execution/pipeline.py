"""The steps of one job, in order: parse, plan, call, finish or go on at another deployment."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial

import structlog

from penstock.cache.policy import CachePolicy, policy, take_wish
from penstock.completion import CompletionRequest, CompletionResult, EmbeddingRequest
from penstock.completion.encoding import loads
from penstock.completion.outcome import Outcome
from penstock.configuration import Config
from penstock.dialects import openai_responses, registry
from penstock.dialects.batch_line import LineFacts, render_line
from penstock.dialects.facts import JobFacts
from penstock.errors import ModelNotFound, NoModelFits, PenstockError, ProviderCircuitOpen, Unavailable, error_to_json
from penstock.execution.accept import escalations
from penstock.execution.cached import CachedCaller
from penstock.execution.call import Asked, Caller, Deferred, Emit, Interrupted, NextDeployment, Order
from penstock.execution.escalate import Early, Stages
from penstock.execution.guarded import guarded
from penstock.execution.prompts import complete_each
from penstock.execution.record import CallRecord
from penstock.execution.shadow import drawn, sample
from penstock.execution.stages import ahead_of, allows
from penstock.execution.tally import Tally
from penstock.execution.work import Hop, Work
from penstock.guard.findings import Finding
from penstock.guard.masks import Mask
from penstock.guard.pipeline import Guard, Screened
from penstock.ids import public_id
from penstock.limits.buckets import TokenBucket, tier_buckets
from penstock.providers.deployments import Deployment, Deployments
from penstock.routing.demands import demanded_residency
from penstock.routing.exchanges import prompt_of
from penstock.routing.learnt import LearntPolicies
from penstock.routing.policies import barred
from penstock.routing.watch import RouteWatch
from penstock.rules import prices
from penstock.rules.context import require_fit, within_limits
from penstock.rules.lifecycle import JobState
from penstock.store.finish import FinishedJob
from penstock.store.jobs import ClaimedJob

_log = structlog.get_logger()

#: queued work that met a part of Penstock, or of its guard, that is away waits so long before it goes back
_AWAY_SECONDS = 2.0
#: of requests decided by their content, those that are scored here again to be counted: it takes some 0.3 ms
_WATCHED_SHARE = 0.25


class Pipeline:
    """Turns claimed jobs into finished ones."""

    def __init__(
        self,
        config: Config,
        deployments: Deployments,
        caller: Caller,
        answers: CachedCaller,
        guard: Guard,
        tally: Tally,
        learnt: LearntPolicies,
        watch: RouteWatch,
        early: Early,
    ) -> None:
        """`answers` is over `caller`, which knows how the providers are."""
        self._deployments = deployments
        self._config = config
        self._caller = caller
        self._escalations = escalations(config, learnt)
        self._stages = Stages(self._answer, caller.shut_for, deployments.fallback_on, watch.stage, early)
        self._learnt = learnt
        self._watch = watch
        self._answers = answers
        self._guard = guard
        self._tally = tally
        #: a fleet has few tiers and many tenants; those at work are remembered
        self._tier: Callable[[str, str], tuple[TokenBucket, ...]] = lru_cache(maxsize=10_000)(
            lambda tenant, tier: tier_buckets(config, tenant, tier)
        )

    async def close(self) -> None:
        """Close what its routes hold open."""
        for escalation in self._escalations.values():
            await escalation.close()

    async def run(self, job: ClaimedJob, record: CallRecord, emit: Emit | None) -> FinishedJob:
        """Do the work of a job. What goes wrong with it becomes its stored error.

        Raises:
            Deferred: it must go back to the backlog until there is quota, or until a part of Penstock is back.
            Hop: it goes on at another deployment.
            Interrupted: its answer stopped after chunks of it were published.
        """
        try:
            body = loads(job.body)
            wish = take_wish(body)
            request = registry.get(job.dialect).parse(body)
            fallback_on = self._deployments.fallback_on(job.model) if job.fallback else frozenset()
            residency = demanded_residency(self._config, request, job.tenant_id)
            size = len(job.body)
            work = Work(job, request, wish, record, emit, job.deployment, size, fallback_on, residency=residency)
            outcome = await self._outcome(work)
            self._observe(work, outcome)
        except (Deferred, Hop, Interrupted):
            raise
        except Unavailable as error:
            # no fault of the job, which waits for it unless a client does
            if job.lane == "interactive":
                return failed(job, record, error)
            await asyncio.sleep(_AWAY_SECONDS)
            raise Deferred(_AWAY_SECONDS) from error
        except PenstockError as error:
            return failed(job, record, error)
        except Exception as error:  # noqa: BLE001 — a fault of ours must end this job alone, and be seen
            _log.exception("a job met a fault of Penstock's own", job=job.id.hex)
            return failed(job, record, PenstockError(f"Internal error ({type(error).__name__})."))
        finally:
            self._count_kept_prompts(job, record)
        finished = _finished(job, record, "succeeded", 200, replace(outcome, cache=record.cached))
        await record.kept()
        return finished

    def _count_kept_prompts(self, job: ClaimedJob, record: CallRecord) -> None:
        for call in record.paid:
            deployment = self._deployments.get(call.deployment)
            if deployment is None or not (call.usage.cached_tokens or call.usage.cache_write_tokens):
                continue
            found = prices.of_kept_prompts(
                call.usage,
                deployment.price,
                deployment.upstream_model,
                deployment.provider_config.base_url,
                discount=deployment.model_config.discount,
            )
            for name, amount in zip(("prompt_saved", "prompt_surcharge"), found or (), strict=False):
                if amount:
                    self._tally.add(name, deployment.name, job.tenant_id, amount=float(amount))

    async def _outcome(self, work: Work) -> Outcome:
        job, request = work.job, work.request
        if not allows(job, job.deployment):
            raise self._elsewhere(job)
        ahead = ahead_of(job)
        escalation = self._escalations.get(ahead.route) if ahead.route is not None else None
        if escalation is None or isinstance(request, EmbeddingRequest):
            return await self._answer(work)
        return await self._stages.run(escalation, work, request, self._configured(ahead.steps))

    def _elsewhere(self, job: ClaimedJob) -> Exception:
        """Where a job goes that its deployment may not serve."""
        left = [name for name in job.fallback or () if self._deployments.get(name) is not None]
        return Hop(left[0], left[1:]) if left else ModelNotFound(job.model)

    def _configured(self, steps: Sequence[Sequence[str]]) -> list[list[str]]:
        """The steps that are left of those ahead of a job, with the models that the configuration still has."""
        found = [[name for name in step if self._deployments.get(name) is not None] for step in steps]
        return [step for step in found if step]

    def _observe(self, work: Work, outcome: Outcome) -> None:
        """Count what a route with a learnt policy was asked; note a sample, if this answer is to be one."""
        job, name = work.job, ahead_of(work.job).route or work.job.model
        route, policy = self._config.routes.get(name), self._learnt.policy(name)
        if route is None or outcome.result is None or not isinstance(work.request, CompletionRequest):
            return
        if policy is not None and policy.kind == "content" and drawn(job.id, _WATCHED_SHARE):
            self._watch.asked(name, policy, prompt_of(work.request))
        told = outcome.routing
        deployment = told["answered_by"] if told is not None and "answered_by" in told else job.deployment
        found = sample(job.id, name, route, policy, deployment, outcome.result)
        # what the strong model may not be asked, for its place or its price, it is not asked in the shadow either
        if found is not None and allows(job, found.strong) and self._deployments.get(found.strong) is not None:
            work.record.sample = found

    async def _answer(self, work: Work) -> Outcome:
        job, record = work.job, work.record
        deployment = self._deployments.get(work.deployment)
        if deployment is None:
            raise ModelNotFound(job.model)
        why = barred(deployment.model_config, job.tenant_id, work.residency)
        if why is not None:
            error = NoModelFits(f"The model `{deployment.name}` may not see this request: {why}.", param="model")
            raise self.next_hop(job, error) if work.fallback_on else error
        screened = await self._screen(job, work.request)
        request = screened.request
        require_fit(request, deployment.context, param=registry.get(job.dialect).prompt)
        try:
            cached = policy(
                self._config.cache,
                tenant=job.tenant_id,
                model=job.model,
                # vectors are the same every time
                temperature=request.temperature if isinstance(request, CompletionRequest) else 0.0,
                wish=work.wish,
            )
            if isinstance(request, EmbeddingRequest):
                order = self._order(work, request, deployment, cached=cached)
                return Outcome(embeddings=await self._answers.embed(order, record))
            calls = within_limits(request, deployment.context, deployment.max_output).calls()
            orders = [self._order(work, call, deployment, screened.mask, cached, len(calls)) for call in calls]
            return Outcome(result=await self._complete(orders, screened, record, work.emit))
        except NextDeployment as failed:
            raise self.next_hop(job, failed.error) from failed

    async def _complete(
        self, orders: Sequence[Order[CompletionRequest]], screened: Screened, record: CallRecord, emit: Emit | None
    ) -> CompletionResult:
        if len(orders) > 1:
            return await guarded(lambda _: complete_each(self._answers, orders, record), screened, record, None)
        return await guarded(partial(self._answers.complete, orders[0], record), screened, record, emit)

    async def _screen(self, job: ClaimedJob, request: CompletionRequest | EmbeddingRequest) -> Screened:
        """What the guard lets pass."""

        def on_finding(finding: Finding) -> None:
            self._tally.add("guard", finding.check, finding.kind, finding.action, amount=finding.count)
            tell = _log.info if finding.action in {"flag", "block"} else _log.debug
            tell(
                "guard",
                job=job.id.hex,
                check=finding.check,
                kind=finding.kind,
                action=finding.action,
                count=finding.count,
            )

        prompt = registry.get(job.dialect).prompt
        return await self._guard.screen(
            request, tenant=job.tenant_id, model=job.model, prompt=prompt, on_finding=on_finding
        )

    def _order(
        self,
        work: Work,
        request: Asked,
        deployment: Deployment,
        mask: Mask | None = None,
        cached: CachePolicy | None = None,
        calls: int = 1,
    ) -> Order[Asked]:
        """The order for one of the `calls` of a work."""
        job = work.job
        return Order(
            request=request,
            deployment=deployment,
            size=work.size // calls,
            interactive=job.lane == "interactive",
            age=max(time.time() - job.created_at.timestamp(), 0.0),
            tier=self._tier(job.tenant_id, job.tier),
            fallback_on=work.fallback_on,
            mask=mask,
            tenant=job.tenant_id,
            cache=cached,
            at_once=work.at_once,
            residency=work.residency,
        )

    def next_hop(self, job: ClaimedJob, error: PenstockError) -> Exception:
        """Where a job goes that failed here with `error`: to the first deployment left whose breaker is not open.

        Where all of them are shut, a job that was not even tried waits here, as long as it can wait.
        """
        left = [name for name in job.fallback or () if self._deployments.get(name) is not None]
        usable = [name for name in left if not self._caller.shut_for(name)]
        if not left or (not usable and isinstance(error, ProviderCircuitOpen) and job.lane == "interactive"):
            return error
        if not usable and isinstance(error, ProviderCircuitOpen):
            return Deferred(error.retry_after or 1.0)
        chosen = (usable or left)[0]
        return Hop(chosen, [name for name in left if name != chosen])


def failed(job: ClaimedJob, record: CallRecord, error: PenstockError) -> FinishedJob:
    """The end of a job that could not be done; what was already streamed of it is kept."""
    partial = record.builder.build() if record.emitted else None
    return _finished(job, record, "failed", error.status, Outcome(result=partial, error=error_to_json(error)))


def cancelled(job: ClaimedJob, record: CallRecord, state: JobState) -> FinishedJob:
    """The end of a running job that was `cancelled` or `expired`; what was already streamed of it is kept."""
    partial = record.builder.build() if record.emitted else None
    return _finished(job, record, state, None, Outcome(result=partial))


def _finished(
    job: ClaimedJob, record: CallRecord, state: JobState, status_code: int | None, outcome: Outcome
) -> FinishedJob:
    body = outcome.to_bytes()
    has_line = job.batch_id is not None and status_code is not None and registry.get(job.dialect).in_files
    return FinishedJob(
        id=job.id,
        epoch=job.epoch,
        state=state,
        status_code=status_code,
        body=body,
        line_bytes=len(_line(job, state, status_code, outcome)) if has_line else None,
        usage=record.usage,
        cost=record.cost,
        event_type=_event_type(job, state, outcome),
        object_id=public_id("job_" if job.dialect == "job" else "resp_", job.id),
        attempts=tuple(record.attempts),
        steps=tuple(record.beside),
    )


def _line(job: ClaimedJob, state: JobState, status_code: int | None, outcome: Outcome) -> bytes:
    """The line this job will have in a result file: its length is counted once, here, and stored."""
    facts = _facts(job, state, outcome)
    return render_line(
        LineFacts(custom_id=job.custom_id or "", status_code=status_code, dialect=job.dialect, job=facts)
    )


def _facts(job: ClaimedJob, state: JobState, outcome: Outcome) -> JobFacts:
    return JobFacts(
        id=job.id,
        created_at=int(job.created_at.timestamp()),
        finished_at=int(time.time()),
        state=state,
        started=True,
        background=job.background,
        model=job.model,
        body=loads(job.body),
        result=outcome.result,
        error=outcome.error,
        embeddings=outcome.embeddings,
        routing=outcome.routing,
    )


def _event_type(job: ClaimedJob, state: JobState, outcome: Outcome) -> str | None:
    """Background responses announce their end (contract §10.1), and so do jobs; lines of batches do not."""
    if not job.background or job.batch_id is not None:
        return None
    if job.dialect == "job":
        return f"job.{state}"
    if job.dialect != "openai.responses":
        return None
    return f"response.{openai_responses.status(_facts(job, state, outcome))}"
