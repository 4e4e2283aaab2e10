"""The semantic step on a real Postgres: what is served, what is only noted, and who never sees whose answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

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
from penstock.errors import Unavailable
from penstock.execution.call import Emit, Order
from penstock.execution.record import CallRecord
from penstock.execution.semantic import SemanticCaller
from penstock.ids import new_id
from penstock.providers.deployments import Deployments
from penstock.store import semantic_answers
from penstock.store.database import Database

CONFIG = Config.model_validate(
    {
        "providers": {"p": {"wire_format": "openai", "base_url": "http://127.0.0.1:1"}},
        "models": {"fast": {"provider": "p"}},
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

    async def ask(
        self, text: str, tenant: str = "a", system: str = "s", policy: CachePolicy | None = None, **changes: object
    ) -> tuple[str, str | None]:
        messages = (Message("system", (Text(system),)), Message("user", (Text(text),)))
        request = replace(CompletionRequest(model="fast", messages=messages), **changes)
        assert DEPLOYMENT is not None
        record = CallRecord(new_id(), 1)
        order = Order(request, DEPLOYMENT, 10, interactive=False, tenant=tenant, cache=policy)
        return (await self.caller.complete(order, record, None)).text, record.cached


def bench(database: Database, mode: Literal["serve", "shadow"]) -> Bench:
    provider, vectors = Provider(), Vectors()
    cache = SemanticCache(database, CALIBRATION, level="safe", ttl=60)
    return Bench(provider, vectors, SemanticCaller(provider, cache, vectors, {"fast": mode}), database)


@pytest.fixture
async def serving(database: Database) -> Bench:
    if not await semantic_answers.available(database):
        pytest.skip("this server has no pgvector")
    return bench(database, "serve")


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


async def test_a_shadow_serves_nothing_and_notes_what_it_would_have_served(serving: Bench) -> None:
    shadow = bench(serving.database, "shadow")
    await shadow.ask("pay")
    assert await shadow.ask("pay.") == ("answer 2", None)
    (noted,) = await semantic_answers.shadows(serving.database, "a", "fast", "enc")
    assert (noted.asked, noted.stored) == ("pay.", "pay")
    assert noted.agreement == pytest.approx(1.0)
