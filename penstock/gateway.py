"""`LLMGateway`: the engine as one interface. The workers run what it runs; as a library it needs nothing beside it.

    async with LLMGateway.from_file("penstock.yaml") as gateway:
        answer = await gateway.complete([{"role": "user", "content": "Why is the sky blue?"}], model="gpt-5-mini")
        print(answer.text, answer.cost)

Limits, breakers, retries, fallback, the guard and the exact cache are those of the configuration. The cache is this
process's own, and so are the limits unless a Redis is given that others share. Nothing is durable: that is what the
service is for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Literal, Self, overload

from penstock.cache.policy import FIELD, Wish, policy, read_wish
from penstock.completion import (
    CompletionRequest,
    CompletionResult,
    EmbeddingRequest,
    EmbeddingResult,
)
from penstock.completion.encoding import dumps
from penstock.configuration import Config
from penstock.dialects import openai_chat, openai_embeddings
from penstock.errors import AUTO, InvalidRequest, NoModelFits, ProviderStreamBroken
from penstock.execution.accept import Escalation, escalations
from penstock.execution.cached import CachedCaller
from penstock.execution.call import Answer, Asked, Caller, Emit, Interrupted, NextDeployment, Order
from penstock.execution.climb import Asks, Embedded, Tried, climb
from penstock.execution.guarded import guarded
from penstock.execution.record import HITS, CallRecord
from penstock.execution.response import CompletionResponse, CompletionStream, EmbeddingResponse, StreamEvent
from penstock.guard.findings import Finding
from penstock.guard.pipeline import Guard, Screened
from penstock.ids import new_id
from penstock.limits.buckets import DeploymentLimits, Scope
from penstock.limits.quota import Quota
from penstock.providers.deployments import Deployment, Deployments
from penstock.providers.registry import make_providers
from penstock.redis import Redis, connect
from penstock.routing.learnt import LearntPolicies
from penstock.routing.router import Router, explained
from penstock.routing.speeds import Speeds
from penstock.rules import prices
from penstock.rules.context import require_fit, within_limits
from penstock.rules.estimates import Calibration
from penstock.settings import load_config, parse_config
from penstock.store.attempts import Spent
from penstock.store.finish import Attempt

__all__ = ["CompletionResponse", "CompletionStream", "EmbeddingResponse", "LLMGateway"]

#: the tenant for which the rules of guard and cache are read: a library has no keys
DEFAULT_TENANT = "default"


@dataclass(slots=True)
class _Running(Generic[Asked]):
    """A request on its way over its deployments; `prompt` is the field that holds its prompt.

    `escalation` is the escalating route that it is on, `stages` are the models of that one's steps,
    `judges` are the models that may see its answers.
    """

    request: Asked
    prompt: str
    wish: Wish
    size: int
    left: list[str]
    fallback_on: frozenset[str]
    routing: dict[str, Any] | None
    escalation: str | None = None
    stages: Sequence[str] = ()
    judges: Sequence[str] = ()
    attempts: list[Attempt] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    cached: str | None = None

    @property
    def cost(self) -> Decimal | None:
        return Decimal(0) if self.cached in HITS and not self.attempts else prices.together(self.attempts)


class LLMGateway:
    """Completions and embeddings from any configured model, in one process.

    Belongs to one event loop; use it with `async with`.

    Args:
        config: the configuration, or what a `penstock.yaml` would hold.
        redis_url: a Redis that several processes share for their limits and breakers; without one they are this
            process's own.
        learnt: learnt policies by route, as `penstock calibrate --out` writes them.

    Raises:
        ConfigError: the configuration, or a learnt policy, cannot be used.
    """

    def __init__(
        self,
        config: Config | Mapping[str, Any],
        *,
        redis_url: str | None = None,
        learnt: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._config = config if isinstance(config, Config) else parse_config(dict(config), "configuration")
        self._deployments = Deployments(self._config)
        self._redis: Redis | None = connect(redis_url) if redis_url is not None else None
        self._providers = make_providers(self._config)
        self._quota = Quota(self._redis, _nothing_spent)
        limits = {name: DeploymentLimits.of(self._config, name) for name in self._config.models}
        policies = {True: self._config.retries.interactive, False: self._config.retries.bulk}
        self._speeds = Speeds(self._redis)
        policies_learnt = LearntPolicies.given(self._config.routes, learnt or {})
        self._escalations = escalations(self._config, policies_learnt)
        self._router = Router(self._config, self._deployments, self._speeds, policies_learnt)
        self._caller = Caller(self._providers, limits, self._quota, Calibration(), policies, self._speeds)
        self._answers = CachedCaller(self._caller, self._caller, None, self._config.cache, _uncounted)
        self._guard = Guard(self._config.guard)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        redis_url: str | None = None,
        learnt: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Self:
        """A gateway over a configuration file.

        Raises:
            ConfigError: the file is missing or wrong; the message names its key.
        """
        return cls(load_config(Path(path)), redis_url=redis_url, learnt=learnt)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._answers.close()
        for escalation in self._escalations.values():
            await escalation.close()
        await self._guard.close()
        await self._quota.close()
        for provider in self._providers.values():
            await provider.close()
        if self._redis is not None:
            await self._redis.aclose()

    @overload
    async def complete(
        self,
        messages: Sequence[Mapping[str, Any]],
        model: str = ...,
        fallback: Sequence[str] | None = ...,
        stream: Literal[False] = ...,
        max_tokens: int | None = ...,
        **options: Any,
    ) -> CompletionResponse: ...

    @overload
    async def complete(
        self,
        messages: Sequence[Mapping[str, Any]],
        model: str = ...,
        fallback: Sequence[str] | None = ...,
        *,
        stream: Literal[True],
        max_tokens: int | None = ...,
        **options: Any,
    ) -> CompletionStream: ...

    async def complete(
        self,
        messages: Sequence[Mapping[str, Any]],
        model: str = AUTO,
        fallback: Sequence[str] | None = None,
        stream: bool = False,
        max_tokens: int | None = 1024,
        **options: Any,
    ) -> CompletionResponse | CompletionStream:
        """Make one completion.

        Args:
            messages: the conversation, as OpenAI's chat completions have it.
            model: a configured model or route. `auto` is the route of that name, or the only model there is.
            fallback: models to ask, in this order, when that one fails.
            stream: whether to get the answer as it is made.
            max_tokens: the most tokens of the answer; None leaves that to the model.
            options: any other field of a chat completion: `temperature`, `tools`, `response_format`, …; and
                `penstock_cache`, what is wanted of the cache (docs/caching.md).

        Raises:
            InvalidRequest: a field cannot be used, or the guard blocks the request; `param` names the field.
            PenstockError: why the last deployment failed. A stream raises it when it is read.
        """
        wish = read_wish(options.pop(FIELD, None))
        body = self._body(model, fallback, {**options, "messages": list(messages), "max_tokens": max_tokens})
        running = await self._plan(openai_chat.parse(body), body, "messages", wish)
        if not stream:
            return await self._complete(running, None)
        events: asyncio.Queue[StreamEvent] = asyncio.Queue()
        work = asyncio.create_task(self._complete(running, events.put_nowait))
        work.add_done_callback(lambda _: events.put_nowait(None))
        return CompletionStream(work, events)

    async def embed(
        self,
        inputs: str | Sequence[str],
        model: str = AUTO,
        fallback: Sequence[str] | None = None,
        **options: Any,
    ) -> EmbeddingResponse:
        """Turn texts into vectors.

        Args:
            inputs: a text, or several.
            model: see `complete`.
            fallback: models to ask, in this order, when that one fails. Vectors of two models do not compare.
            options: any other field of OpenAI's embeddings, such as `dimensions`.

        Raises:
            InvalidRequest: a field cannot be used; `param` names it.
            PenstockError: why the last deployment failed.
        """
        told = inputs if isinstance(inputs, str) else list(inputs)
        wish = read_wish(options.pop(FIELD, None))
        body = self._body(model, fallback, {**options, "input": told})
        running = await self._plan(openai_embeddings.parse(body), body, "input", wish)
        return await self._embed(running)

    async def _embed(self, running: _Running[EmbeddingRequest]) -> EmbeddingResponse:
        await self._screen(running)

        async def ask(order: Order[EmbeddingRequest], record: CallRecord) -> EmbeddingResult:
            return await self._answers.embed(order, record)

        name, result = await self._run(running, ask)
        return EmbeddingResponse(name, result, running.cost, tuple(running.attempts), running.cached)

    def _body(self, model: str, fallback: Sequence[str] | None, fields: Mapping[str, Any]) -> dict[str, Any]:
        name = self._auto() if model == AUTO and AUTO not in self._deployments else model
        return {**fields, "model": name} | ({"fallback": list(fallback)} if fallback is not None else {})

    async def _plan(self, request: Asked, body: Mapping[str, Any], prompt: str, wish: Wish) -> _Running[Asked]:
        await self._speeds.flush()
        routed = await self._router.route(request, DEFAULT_TENANT, prompt=prompt)
        decision = routed.decision or {}
        told = explained(decision) if decision else None
        reasons = self._deployments.fallback_on(request.model)
        stages = [stage[0] for stage in decision.get("stages", ())]
        order, escalation, judges = list(routed.order), decision.get("escalation"), decision.get("judges", ())
        return _Running(request, prompt, wish, len(dumps(body)), order, reasons, told, escalation, stages, judges)

    def _auto(self) -> str:
        names = [deployment.name for deployment in self._deployments]
        if len(names) != 1:
            raise InvalidRequest(
                f"There is no route `{AUTO}`: define one under `routes:`, or name one of {', '.join(names)}.",
                param="model",
            )
        return names[0]

    async def _complete(self, running: _Running[CompletionRequest], emit: Emit | None) -> CompletionResponse:
        if running.escalation is None:
            return await self._answer(running, emit)
        return await self._climb(self._escalations[running.escalation], running, emit)

    async def _climb(
        self, escalation: Escalation, running: _Running[CompletionRequest], emit: Emit | None
    ) -> CompletionResponse:
        """The first answer of a route that is trusted; attempts and cost are of all that were asked."""
        may_see = {*running.left, *running.judges}

        @contextmanager
        def one(deployment: str, request: Asked) -> Iterator[_Running[Asked]]:
            """A call of its own, whose costs and findings are the whole's too."""
            if deployment not in may_see:
                raise NoModelFits(f"The model `{deployment}` may not see this request.")
            size, reasons = running.size, running.fallback_on
            own = _Running(request, running.prompt, running.wish, size, [deployment], reasons, None)
            try:
                yield own
            finally:
                running.attempts += own.attempts
                running.findings += own.findings

        async def attempt(deployment: str, request: CompletionRequest, emit: Emit | None) -> Tried:
            with one(deployment, request) as own:
                found = await self._answer(own, emit)
                running.cached = own.cached
                return Tried(found.result, tuple(own.attempts))

        async def embed(deployment: str, texts: Sequence[str]) -> Embedded:
            with one(deployment, EmbeddingRequest(model=deployment, inputs=tuple(texts))) as own:
                return Embedded((await self._embed(own)).result.vectors, tuple(own.attempts))

        stages, spare = running.stages, [name for name in running.left if name not in running.stages]
        found = await climb(
            escalation, running.request, stages, spare, running.fallback_on, Asks(attempt, embed), emit, DEFAULT_TENANT
        )
        attempts, findings = tuple(running.attempts), tuple(running.findings)
        routing = {**found.routing, **(running.routing or {})}
        return CompletionResponse(
            found.deployment, found.result, running.cost, attempts, findings, running.cached, routing
        )

    async def _answer(self, running: _Running[CompletionRequest], emit: Emit | None) -> CompletionResponse:
        screened = await self._screen(running)

        async def ask(order: Order[CompletionRequest], record: CallRecord) -> CompletionResult:
            context, most = order.deployment.context, order.deployment.max_output
            order = replace(order, request=within_limits(order.request, context, most), mask=screened.mask)
            return await guarded(partial(self._answers.complete, order, record), screened, record, emit)

        name, result = await self._run(running, ask)
        findings = tuple(running.findings)
        return CompletionResponse(
            name, result, running.cost, tuple(running.attempts), findings, running.cached, running.routing
        )

    async def _screen(self, running: _Running[Any]) -> Screened:
        """What the guard lets pass of a request, which takes its place."""
        screened = await self._guard.screen(
            running.request,
            tenant=DEFAULT_TENANT,
            model=running.request.model,
            prompt=running.prompt,
            on_finding=running.findings.append,
        )
        running.request = screened.request
        return screened

    async def _run(
        self, running: _Running[Asked], ask: Callable[[Order[Asked], CallRecord], Awaitable[Answer]]
    ) -> tuple[str, Answer]:
        """The deployment that answered, and its answer."""
        while True:
            deployment = self._deployments.get(running.left.pop(0))
            assert deployment is not None  # plans name configured models only
            try:
                return deployment.name, await self._ask(running, deployment, ask)
            except NextDeployment as failed:
                if not running.left:
                    raise failed.error from failed.error.__cause__
            except Interrupted as interrupted:
                raise ProviderStreamBroken(interrupted.error.message) from interrupted.error

    async def _ask(
        self,
        running: _Running[Asked],
        deployment: Deployment,
        ask: Callable[[Order[Asked], CallRecord], Awaitable[Answer]],
    ) -> Answer:
        require_fit(running.request, deployment.context, param=running.prompt)
        record = CallRecord(new_id(), 0)
        order = Order(
            request=running.request,
            deployment=deployment,
            size=running.size,
            interactive=True,
            fallback_on=running.fallback_on if running.left else frozenset(),
            tenant=DEFAULT_TENANT,
            cache=policy(
                self._config.cache,
                tenant=DEFAULT_TENANT,
                model=running.request.model,
                temperature=getattr(running.request, "temperature", 0.0),  # vectors are the same every time
                wish=running.wish,
            ),
        )
        try:
            result = await ask(order, record)
            await record.kept()
            return result
        finally:
            running.attempts += record.attempts
            running.cached = record.cached


async def _nothing_spent(scope: Scope, seconds: float) -> Spent:  # noqa: ARG001
    """A process that begins has sent nothing; what others sent, the provider's own headers say."""
    return Spent()


def _uncounted(*_: str, amount: float = 1) -> None:
    """A library has no `/metrics`; each answer says itself what the cache came to."""
