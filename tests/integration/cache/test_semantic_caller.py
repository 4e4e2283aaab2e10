"""The semantic step on a real Postgres: what is served, what is only noted, and who never sees whose answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast

import numpy as np
import pytest

from penstock.cache.calibration import Calibration
from penstock.cache.policy import CachePolicy
from penstock.cache.semantic import SemanticCache
from penstock.completion import CompletionRequest, CompletionResult, Message, Text
from penstock.completion.events import Finished, PartDelta, PartStarted
from penstock.completion.result import ResultBuilder
from penstock.completion.usage import Usage
from penstock.configuration import Config
from penstock.configuration.policies import SemanticJudgeConfig
from penstock.errors import Unavailable
from penstock.execution.call import Caller, Deferred, Emit, Order
from penstock.execution.judge import ModelJudge
from penstock.execution.record import CallRecord
from penstock.execution.semantic import SemanticCaller
from penstock.execution.tally import Tally
from penstock.execution.tally import read as counted
from penstock.ids import new_id
from penstock.providers.deployments import Deployment, Deployments
from penstock.redis import Redis
from penstock.store import cache_marks, semantic_answers
from penstock.store.cache_marks import Scope
from penstock.store.database import Database

CONFIG = Config.model_validate(
    {
        "providers": {"p": {"wire_format": "openai", "base_url": "http://127.0.0.1:1"}},
        "models": {"fast": {"provider": "p"}, "house": {"provider": "p", "residency": "eu", "tenants": ["a"]}},
    }
)
DEPLOYMENT = Deployments(CONFIG).get("fast")
CALIBRATION = Calibration("enc", np.eye(2, dtype=np.float32), {"safe": 0.9}, 0.0)
VECTORS = {"pay": [1.0, 0.0], "pay.": [0.99, 0.1], "not pay": [1.0, 0.0], "else": [0.0, 1.0]}


class Vectors:
    """Vectors by a table; what is not in it has the one of its own length."""

    def __init__(self) -> None:
        self.away = False

    async def embed(
        self,
        texts: Sequence[str],
        order: Order[CompletionRequest],  # noqa: ARG002 — see Encoder
        record: CallRecord,  # noqa: ARG002
    ) -> list[Sequence[float]]:
        if self.away:
            raise Unavailable("away")
        return [VECTORS.get(text, [1.0, float(len(text))]) for text in texts]


@dataclass
class Provider:
    """Answers each call with its number."""

    calls: int = 0
    reason: Literal["stop", "length"] = "stop"
    errors: list[Exception] = field(default_factory=list)

    async def complete(
        self,
        order: Order[CompletionRequest],  # noqa: ARG002 — see Completes
        record: CallRecord,  # noqa: ARG002
        emit: Emit | None,  # noqa: ARG002
    ) -> CompletionResult:
        if self.errors:
            raise self.errors.pop()
        self.calls += 1
        builder = ResultBuilder()
        for event in (
            PartStarted(0, "text"),
            PartDelta(0, f"answer {self.calls}"),
            Finished((self.reason,), Usage(3, 2)),
        ):
            builder.add(event)
        return builder.build()


@dataclass
class Bench:
    provider: Provider
    vectors: Vectors
    caller: SemanticCaller
    database: Database
    tally: Tally
    redis: Redis

    async def ask(
        self, text: str, tenant: str = "a", system: str = "s", policy: CachePolicy | None = None, **changes: object
    ) -> tuple[str, str | None]:
        return await self.answered(CallRecord(new_id(), 1), text, tenant, system, policy, **changes)

    async def answered(
        self,
        record: CallRecord,
        text: str,
        tenant: str = "a",
        system: str = "s",
        policy: CachePolicy | None = None,
        **changes: object,
    ) -> tuple[str, str | None]:
        messages = (Message("system", (Text(system),)), Message("user", (Text(text),)))
        request = replace(CompletionRequest(model="fast", messages=messages), **changes)
        assert DEPLOYMENT is not None
        order = Order(
            request, DEPLOYMENT, 10, interactive=False, tenant=tenant, cache=policy, residency=request.residency
        )
        return (await self.caller.complete(order, record, None)).text, record.cached


def bench(
    database: Database,
    redis: Redis,
    mode: Literal["serve", "shadow"],
    judge: ModelJudge | None = None,
    shown: Sequence[Deployment] = (),
) -> Bench:
    provider, vectors, tally = Provider(), Vectors(), Tally(redis)
    cache = SemanticCache(database, CALIBRATION, level="safe", ttl=60)
    caller = SemanticCaller(provider, cache, vectors, {"fast": mode}, tally.add, judge, shown)
    return Bench(provider, vectors, caller, database, tally, redis)


@pytest.fixture
async def serving(database: Database, redis: Redis) -> Bench:
    if not await semantic_answers.available(database):
        pytest.skip("this server has no pgvector")
    return bench(database, redis, "serve")


async def test_a_question_of_the_same_meaning_is_answered_once(serving: Bench) -> None:
    assert await serving.ask("pay") == ("answer 1", None)
    assert await serving.ask("pay.") == ("answer 1", "semantic")
    assert await serving.ask("else") == ("answer 2", None)


async def test_a_request_that_wants_no_cache_reads_and_leaves_nothing(serving: Bench) -> None:
    off = CachePolicy(reads_alike=False, writes_alike=False)
    assert await serving.ask("pay", policy=off) == ("answer 1", None)
    assert await serving.ask("pay") == ("answer 2", None)
    assert await serving.ask("pay.", policy=off) == ("answer 3", None)
    assert await serving.ask("pay.", policy=CachePolicy(writes_alike=False)) == ("answer 2", "semantic")


async def test_a_hit_is_streamed_as_the_answer_was(serving: Bench) -> None:
    await serving.ask("pay")
    seen: list[object] = []
    request = CompletionRequest(
        model="fast", messages=(Message("system", (Text("s"),)), Message("user", (Text("pay."),)))
    )
    assert DEPLOYMENT is not None
    order = Order(request, DEPLOYMENT, 10, interactive=True, tenant="a")
    await serving.caller.complete(order, CallRecord(new_id(), 1), seen.append)
    assert seen == [PartStarted(0, "text"), PartDelta(0, "answer 1")]


@pytest.mark.parametrize("changes", [{"tenant": "b"}, {"system": "t"}, {"temperature": 0.5}, {"max_tokens": 7}])
async def test_another_tenant_or_context_gets_no_such_answer(serving: Bench, changes: dict[str, object]) -> None:
    await serving.ask("pay")
    assert await serving.ask("pay.", **changes) == ("answer 2", None)  # type: ignore[arg-type]


async def test_what_no_model_sees_keeps_no_questions_apart(serving: Bench) -> None:
    await serving.ask("pay", extra={"metadata": {"trace": "1"}}, user="x")
    assert await serving.ask("pay.", extra={"metadata": {"trace": "2"}}, user="y") == ("answer 1", "semantic")
    assert await serving.ask("pay.", extra={"verbosity": "low"}) == ("answer 2", None)


async def test_the_gate_stands_before_the_nearest_neighbour(serving: Bench) -> None:
    await serving.ask("pay")
    assert await serving.ask("not pay") == ("answer 2", None)


async def test_only_whole_answers_enter(serving: Bench) -> None:
    serving.provider.reason = "length"
    await serving.ask("pay")
    assert await serving.ask("pay.") == ("answer 2", None)


async def test_without_vectors_the_answer_comes_all_the_same(serving: Bench) -> None:
    serving.vectors.away = True
    assert await serving.ask("pay") == ("answer 1", None)


async def test_an_error_of_the_provider_is_passed_on_and_not_kept(serving: Bench) -> None:
    serving.provider.errors = [Unavailable("no")]
    with pytest.raises(Unavailable):
        await serving.ask("pay")
    assert await serving.ask("pay.") == ("answer 1", None)


async def test_nothing_enters_that_failed_or_was_given_to_another_tenant(serving: Bench) -> None:
    """Poisoning: what a tenant is served, it was itself answered, whole."""
    serving.provider.errors = [Unavailable("no")]
    with pytest.raises(Unavailable):
        await serving.ask("pay", tenant="b")
    serving.provider.reason = "length"
    await serving.ask("pay", tenant="b")
    serving.provider.reason = "stop"
    await serving.ask("pay", tenant="mallory")
    assert await serving.ask("pay.", tenant="b") == ("answer 3", None)
    rows = await serving.database.fetch("SELECT tenant_id, question FROM semantic_answers ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [("mallory", "pay"), ("b", "pay.")]


async def test_what_is_too_old_for_the_request_or_invalidated_is_not_served(serving: Bench) -> None:
    tagged = CachePolicy(tags=("prices",))
    assert await serving.ask("pay", policy=tagged) == ("answer 1", None)
    assert await serving.ask("pay.", policy=CachePolicy(max_age=0.0, writes_alike=False)) == ("answer 2", None)
    assert await serving.ask("pay.") == ("answer 1", "semantic")
    await cache_marks.invalidate(serving.database, Scope("a", tag="prices"))
    assert await serving.ask("pay.") == ("answer 3", None)


async def test_hits_are_counted_for_the_metrics(serving: Bench) -> None:
    await serving.ask("pay")
    await serving.ask("pay.")
    await serving.tally.flush()
    assert await counted(serving.redis) == {("cache", "semantic", "fast"): 1.0}


async def test_a_shadow_serves_nothing_and_notes_what_it_would_have_served(serving: Bench) -> None:
    shadow = bench(serving.database, serving.redis, "shadow")
    await shadow.ask("pay")
    assert await shadow.ask("pay.") == ("answer 2", None)
    await shadow.ask("else")
    first, noted, last = await semantic_answers.shadows(serving.database, "a", "fast", CALIBRATION.space)
    assert (first.asked, first.stored, last.asked, last.score) == ("pay", None, "else", None)
    assert (noted.asked, noted.stored) == ("pay.", "pay")
    assert noted.agreement == pytest.approx(1.0)


async def test_a_shadow_notes_what_a_lower_threshold_would_serve_and_keeps_its_answer(serving: Bench) -> None:
    shadow = bench(serving.database, serving.redis, "shadow")
    VECTORS.update({"pay soon": [0.8, 0.6]})
    await shadow.ask("pay")
    await shadow.ask("pay soon")
    noted = (await semantic_answers.shadows(serving.database, "a", "fast", CALIBRATION.space))[-1]
    assert (noted.stored, noted.score) == ("pay", pytest.approx(0.8))
    assert await serving.ask("pay soon") == ("answer 2", "semantic")


@dataclass
class Judging:
    """A model that says `word`, or fails."""

    word: str = "Yes."
    error: Exception | None = None
    prompts: list[str] = field(default_factory=list)

    async def complete(
        self, order: Order[CompletionRequest], record: CallRecord, emit: Emit | None
    ) -> CompletionResult:
        assert emit is None
        self.prompts.append(order.request.messages[-1].text)
        record.failures += 1
        if self.error is not None:
            raise self.error
        builder = ResultBuilder()
        for event in (PartStarted(0, "text"), PartDelta(0, self.word), Finished(("stop",), Usage(3, 2))):
            builder.add(event)
        return builder.build()


@pytest.mark.parametrize(
    ("judging", "served"),
    [
        (Judging("Yes."), True),
        (Judging("no"), False),
        (Judging("Yes, but the second also asks when."), False),
        (Judging(error=Unavailable("away")), False),
        (Judging(error=Deferred(5.0)), False),
        (Judging(error=TimeoutError()), False),
    ],
)
async def test_a_judge_has_the_last_word_and_no_word_is_a_no(serving: Bench, judging: Judging, served: bool) -> None:
    assert DEPLOYMENT is not None
    judge = ModelJudge(cast("Caller", judging), DEPLOYMENT, SemanticJudgeConfig(model="fast"))
    judged = bench(serving.database, serving.redis, "serve", judge)
    await judged.ask("pay")
    record = CallRecord(new_id(), 1)
    assert await judged.answered(record, "pay.") == (("answer 1", "semantic") if served else ("answer 2", None))
    assert judging.prompts == ['{"first":"pay","second":"pay."}']
    assert record.failures == 0, "a judge's failures are not the job's"


@pytest.mark.parametrize(("tenant", "residency", "may"), [("a", "eu", True), ("a", "us", False), ("b", None, False)])
async def test_a_question_is_shown_only_to_models_that_may_see_it(
    serving: Bench, tenant: str, residency: str | None, may: bool
) -> None:
    """Where the judge or the model of the vectors may not see it, the request passes by, and leaves nothing behind."""
    house = Deployments(CONFIG).get("house")
    assert house is not None
    judging = Judging("yes")
    judge = ModelJudge(cast("Caller", judging), house, SemanticJudgeConfig(model="house"))
    bound = bench(serving.database, serving.redis, "serve", judge, [house])
    assert await bound.ask("pay", tenant=tenant, residency=residency) == ("answer 1", None)
    again = await bound.ask("pay.", tenant=tenant, residency=residency)
    assert again == (("answer 1", "semantic") if may else ("answer 2", None))
    assert bool(judging.prompts) is may
    (kept,) = await serving.database.fetch("SELECT count(*)::int AS answers FROM semantic_answers")
    assert kept["answers"] == int(may)


async def test_a_bound_question_is_not_compared_with_free_ones(serving: Bench) -> None:
    """Else a free one would show it to a judge that may not see it."""
    assert await serving.ask("pay", residency="eu") == ("answer 1", None)
    assert await serving.ask("pay.") == ("answer 2", None)
    assert await serving.ask("pay.", residency="eu") == ("answer 1", "semantic")
