"""Calls whose answer may have been given to a question of the same meaning."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import structlog

from penstock.cache import calibration
from penstock.cache.calibration import Calibration
from penstock.cache.minilm import SentenceEncoder
from penstock.cache.policy import CachePolicy
from penstock.cache.semantic import Asked, Hit, SemanticCache, question_of
from penstock.completion import CompletionRequest, CompletionResult, EmbeddingRequest
from penstock.configuration.policies import SemanticConfig
from penstock.errors import ConfigError, PenstockError, Unavailable, Unstorable
from penstock.execution.call import Caller, Emit, Order
from penstock.execution.guarded import replay
from penstock.execution.record import CallRecord
from penstock.execution.steps import Completes
from penstock.guard.masks import unmasked
from penstock.providers.deployments import Deployment, Deployments
from penstock.store import semantic_answers
from penstock.store.database import Database

_log = structlog.get_logger()


class Encoder(Protocol):
    """Makes the vectors; what that costs goes into the record."""

    async def embed(
        self, texts: Sequence[str], order: Order[CompletionRequest], record: CallRecord
    ) -> list[Sequence[float]]:
        """A vector for each text.

        Raises:
            PenstockError: there is none now.
        """
        ...


class LocalEncoder:
    """A sentence encoder in this process, on a thread of its own, so that the event loop goes on."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        self._encoder = encoder

    async def embed(
        self,
        texts: Sequence[str],
        order: Order[CompletionRequest],  # noqa: ARG002 — see Encoder
        record: CallRecord,  # noqa: ARG002
    ) -> list[Sequence[float]]:
        """See `Encoder`."""
        return list((await asyncio.to_thread(self._encoder.embed, texts)).tolist())


class ModelEncoder:
    """A configured embedding model, called within its quota for the tenant who asks."""

    def __init__(self, caller: Caller, deployment: Deployment) -> None:
        self._caller = caller
        self._deployment = deployment

    async def embed(
        self, texts: Sequence[str], order: Order[CompletionRequest], record: CallRecord
    ) -> list[Sequence[float]]:
        """See `Encoder`."""
        request = EmbeddingRequest(model=self._deployment.name, inputs=tuple(texts))
        size = sum(map(len, texts))
        result = await self._caller.embed(
            Order(request, self._deployment, size, order.interactive, order.age, order.tier), record
        )
        return list(result.vectors)


class SemanticCaller:
    """A step before the caller. What goes wrong with the cache costs a hit, never the answer."""

    def __init__(
        self,
        inner: Completes,
        cache: SemanticCache,
        encoder: Encoder,
        modes: Mapping[str, Literal["serve", "shadow"]],
    ) -> None:
        """`modes` has the models and routes, by the name that was asked for, for which it works."""
        self._inner = inner
        self._cache = cache
        self._encoder = encoder
        self._modes = modes

    async def complete(
        self, order: Order[CompletionRequest], record: CallRecord, emit: Emit | None
    ) -> CompletionResult:
        """As `Caller.complete`."""
        mode = self._modes.get(order.request.model)
        question = question_of(order.request) if mode is not None else None
        asked = await self._ask(question, order, record) if question is not None else None
        policy = order.cache or CachePolicy()
        hit = await self._look_up(asked) if asked is not None and policy.reads_alike else None
        if hit is not None and mode == "serve":
            record.cached = "semantic"
            if emit is not None:
                replay(unmasked(hit.result, order.mask) if order.mask else hit.result, record, emit)
            return hit.result
        result = await self._inner.complete(order, record, emit)
        if asked is not None and policy.writes_alike:
            await self._learn(asked, hit, result, order, record)
        return result

    async def _ask(self, question: str, order: Order[CompletionRequest], record: CallRecord) -> Asked | None:
        try:
            (vector,) = await self._encoder.embed([question], order, record)
        except PenstockError as error:
            _log.warning("the semantic cache has no vector", error=error.message)
            return None
        return self._cache.asked(order.request, question, order.tenant, vector)

    async def _look_up(self, asked: Asked) -> Hit | None:
        try:
            return await self._cache.look_up(asked)
        except Unavailable as error:
            _log.warning("the semantic cache was not asked", error=error.message)
            return None

    async def _learn(
        self,
        asked: Asked,
        hit: Hit | None,
        result: CompletionResult,
        order: Order[CompletionRequest],
        record: CallRecord,
    ) -> None:
        """A miss is kept; what a shadow would have served is compared with the real answer."""
        try:
            if hit is None:
                await self._cache.remember(asked, result)
                return
            real, stored = await self._encoder.embed([result.text, hit.result.text], order, record)
            await self._cache.note(asked, hit, _cosine(real, stored))
        except (PenstockError, Unstorable) as error:
            _log.warning("the semantic cache learnt nothing", error=error.message)


async def standing_before(
    inner: Completes, caller: Caller, config: SemanticConfig, deployments: Deployments, database: Database
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
    if config.encoder_folder is not None:
        local = await asyncio.to_thread(SentenceEncoder, config.encoder_folder)
        encoder, name = LocalEncoder(local), local.name
    else:
        deployment = deployments.get(config.embedding_model or "")
        assert deployment is not None  # the configuration was checked
        encoder, name = ModelEncoder(caller, deployment), f"model-{deployment.upstream_model}"
    chosen = Calibration.load(config.calibration or calibration.SHARED)
    if chosen.encoder != name:
        raise ConfigError(f"cache.semantic.calibration is for the encoder {chosen.encoder}, and this is {name}")
    if config.level not in chosen.thresholds:
        known = ", ".join(chosen.thresholds)
        raise ConfigError(f"cache.semantic.level: the calibration has no level `{config.level}` (known: {known})")
    cache = SemanticCache(database, chosen, level=config.level, ttl=config.ttl_seconds)
    return SemanticCaller(inner, cache, encoder, config.models)


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = (sum(x * x for x in one) * sum(y * y for y in other)) ** 0.5
    return sum(x * y for x, y in zip(one, other, strict=True)) / lengths if lengths else 0.0
