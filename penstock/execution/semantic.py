"""Calls whose answer may have been given to a question of the same meaning."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Literal

import structlog

from penstock.cache import calibration
from penstock.cache.calibration import Calibration
from penstock.cache.minilm import SentenceEncoder
from penstock.cache.policy import CachePolicy
from penstock.cache.semantic import Asked, Hit, Made, SemanticCache, question_of
from penstock.completion import CompletionRequest, CompletionResult
from penstock.configuration.policies import SemanticConfig
from penstock.errors import ConfigError, PenstockError, Unavailable, Unstorable
from penstock.execution.cached import Count
from penstock.execution.call import Caller, Deferred, Emit, Order
from penstock.execution.encoders import Encoder, LocalEncoder, ModelEncoder
from penstock.execution.guarded import replay
from penstock.execution.judge import ModelJudge
from penstock.execution.record import CallRecord
from penstock.execution.steps import Completes
from penstock.guard.masks import unmasked
from penstock.providers.deployments import Deployment, Deployments
from penstock.routing.policies import barred
from penstock.store import semantic_answers
from penstock.store.database import Database

_log = structlog.get_logger()

#: how far below the threshold a shadow looks: what it notes there says what a lower one would serve
SHADOW_BELOW = 0.2


class SemanticCaller:
    """A step before the caller. What goes wrong with the cache costs a hit, never the answer."""

    def __init__(
        self,
        inner: Completes,
        cache: SemanticCache,
        encoder: Encoder,
        modes: Mapping[str, Literal["serve", "shadow"]],
        count: Count,
        judge: ModelJudge | None = None,
        shown: Sequence[Deployment] = (),
    ) -> None:
        """`modes` has the models and routes, by the name that was asked for, for which it works.

        `shown` are the configured models that are shown questions: the one that makes vectors, and the judge. A request
        that one of them may not see passes by, so that nobody shows it to them later either.
        """
        self._shown = shown
        self._inner = inner
        self._cache = cache
        self._encoder = encoder
        self._modes = modes
        self._count = count
        self._judge = judge

    async def complete(
        self, order: Order[CompletionRequest], record: CallRecord, emit: Emit | None
    ) -> CompletionResult:
        """As `Caller.complete`."""
        mode = self._modes.get(order.request.model)
        policy = order.cache or CachePolicy()
        question = question_of(order.request) if mode is not None and self._may_be_shown(order) else None
        if question is None or not (policy.reads_alike or policy.writes_alike):
            return await self._inner.complete(order, record, emit)
        asked = await self._ask(question, order, record)
        hit = None
        if asked is not None and policy.reads_alike:
            hit = await self._look_up(asked, policy, order, record, serves=mode == "serve")
            if hit is not None and mode == "serve":
                return self._serve(hit, order, record, emit)
        began = time.monotonic()
        result = await self._inner.complete(order, record, emit)
        if asked is not None and policy.writes_alike:
            cost = record.cost_of(order.deployment.name)
            made = Made(result, order.deployment.name, policy.tags, time.monotonic() - began, cost)
            await self._learn(asked, made, order, record, (hit,) if mode == "shadow" else ())
        return result

    def _may_be_shown(self, order: Order[CompletionRequest]) -> bool:
        return not any(barred(model.model_config, order.tenant, order.residency) for model in self._shown)

    def _serve(
        self, hit: Hit, order: Order[CompletionRequest], record: CallRecord, emit: Emit | None
    ) -> CompletionResult:
        record.cached = "semantic"
        self._count("cache", "semantic", order.deployment.name)
        if hit.cost:
            self._count("cache_saved", order.deployment.name, order.tenant, amount=float(hit.cost))
        if emit is not None:
            replay(unmasked(hit.result, order.mask) if order.mask else hit.result, record, emit)
        return hit.result

    async def _ask(self, question: str, order: Order[CompletionRequest], record: CallRecord) -> Asked | None:
        try:
            (vector,) = await self._encoder.embed([question], order, record)
        except (PenstockError, Deferred) as error:
            _log.warning("the semantic cache has no vector", error=str(error))
            return None
        return self._cache.asked(order.request, question, order.tenant, vector)

    async def _look_up(
        self, asked: Asked, policy: CachePolicy, order: Order[CompletionRequest], record: CallRecord, *, serves: bool
    ) -> Hit | None:
        """A hit to serve; or, in a shadow, the nearest stored question, of which no judge is asked."""
        judge = self._judge.of(order, record) if self._judge is not None and serves else None
        below = 0.0 if serves else SHADOW_BELOW
        try:
            return await self._cache.look_up(asked, judge=judge, max_age=policy.max_age, below=below)
        except Unavailable as error:
            _log.warning("the semantic cache was not asked", error=error.message)
            return None

    async def _learn(
        self,
        asked: Asked,
        made: Made,
        order: Order[CompletionRequest],
        record: CallRecord,
        shadow: Sequence[Hit | None],
    ) -> None:
        """A miss is kept; what a shadow found is compared with the real answer, and noted."""
        try:
            for hit in shadow:
                agreement = None
                if hit is not None:
                    texts = [made.result.text, hit.result.text]
                    agreement = _cosine(*await self._encoder.embed(texts, order, record))
                await self._cache.note(asked, hit, agreement)
                if hit is not None and self._cache.serves(hit):
                    return
            await self._cache.remember(asked, made)
        except (PenstockError, Deferred, Unstorable) as error:
            _log.warning("the semantic cache learnt nothing", error=str(error))


async def standing_before(
    inner: Completes,
    caller: Caller,
    config: SemanticConfig,
    deployments: Deployments,
    database: Database,
    count: Count,
) -> Completes:
    """The semantic cache before `inner`; `inner` itself where none is configured, or this database cannot hold one.

    Raises:
        ConfigError: there is no such encoder, or the calibration is not for it.
    """
    if not config.models:
        return inner
    if not await semantic_answers.available(database):
        _log.error("the database has no pgvector: the semantic cache stays off", models=list(config.models))
        return inner
    encoder: Encoder
    shown: list[Deployment] = []
    if config.encoder_folder is not None:
        local = await asyncio.to_thread(SentenceEncoder, config.encoder_folder)
        encoder, name = LocalEncoder(local), local.name
    else:
        deployment = deployments.get(config.embedding_model or "")
        assert deployment is not None  # the configuration was checked
        shown.append(deployment)
        encoder, name = ModelEncoder(caller, deployment), f"model-{deployment.upstream_model}"
    chosen = Calibration.load(config.calibration or calibration.SHARED)
    if chosen.encoder != name:
        raise ConfigError(f"cache.semantic.calibration is for the encoder {chosen.encoder}, and this is {name}")
    if config.level not in chosen.thresholds:
        known = ", ".join(chosen.thresholds)
        raise ConfigError(f"cache.semantic.level: the calibration has no level `{config.level}` (known: {known})")
    cache = SemanticCache(database, chosen, level=config.level, ttl=config.ttl_seconds)
    judge = None
    if config.judge is not None:
        judging = deployments.get(config.judge.model)
        assert judging is not None  # the configuration was checked
        shown.append(judging)
        judge = ModelJudge(caller, judging, config.judge)
    return SemanticCaller(inner, cache, encoder, config.models, count, judge, shown)


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = (sum(x * x for x in one) * sum(y * y for y in other)) ** 0.5
    return sum(x * y for x, y in zip(one, other, strict=True)) / lengths if lengths else 0.0
