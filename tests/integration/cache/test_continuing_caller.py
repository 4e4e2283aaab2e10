"""Going on from a broken answer, on a real Valkey: what is kept of it, who reads it, what the provider is asked."""

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from penstock.cache.exact import Shared
from penstock.cache.invalidation import Marks
from penstock.cache.key import cache_key
from penstock.cache.policy import CachePolicy
from penstock.completion import (
    CompletionRequest,
    CompletionResult,
    Finished,
    Message,
    PartDelta,
    PartStarted,
    Text,
    Usage,
)
from penstock.configuration import Config
from penstock.configuration.policies import CacheConfig
from penstock.errors import ProviderRejected, ProviderStreamBroken
from penstock.execution.call import Emit, Interrupted, Order
from penstock.execution.continuing import ContinuingCaller
from penstock.execution.record import CallRecord
from penstock.ids import new_id
from penstock.providers.deployments import Deployments
from penstock.redis import Redis
from penstock.store.cache_marks import Mark, Scope
from penstock.store.finish import Attempt

CONFIG = Config.model_validate(
    {
        "providers": {"p": {"wire_format": "openai", "base_url": "http://127.0.0.1:1"}},
        "models": {
            "on": {"provider": "p", "upstream_model": "m", "continues": {"go_on": True}},
            "m": {"provider": "p"},
        },
    }
)
DEPLOYMENTS = Deployments(CONFIG)
ASKED = CompletionRequest(model="on", messages=(Message("user", (Text("tell"),)),), temperature=0.0)
STORY = ["Once ", "upon ", "a ", "time."]


@dataclass
class Provider:
    """Tells the story from where the request ends, and breaks off after so many pieces."""

    breaks_after: int | None = None
    refuses: bool = False
    asked: list[CompletionRequest] = field(default_factory=list)

    async def complete(
        self, order: Order[CompletionRequest], record: CallRecord, emit: Emit | None
    ) -> CompletionResult:
        self.asked.append(order.request)
        last = order.request.messages[-1]
        begun = "".join(part.text for part in last.parts if isinstance(part, Text)) if last.role == "assistant" else ""
        if begun and self.refuses:
            raise ProviderRejected("no such thing here")
        rest = "".join(STORY).removeprefix(begun)
        pieces = [piece for piece in (rest[at : at + 5] for at in range(0, len(rest), 5)) if piece]
        self._tell(PartStarted(0, "text"), record, emit)
        for number, piece in enumerate(pieces):
            if number == self.breaks_after:
                self._note(record, "failed", Usage(7, number))
                raise Interrupted(ProviderStreamBroken("cut"), falls_back=False)
            self._tell(PartDelta(0, piece), record, emit)
        record.builder.add(Finished(("stop",), Usage(3, len(pieces))))
        self._note(record, "succeeded", Usage(3, len(pieces)))
        return record.builder.build()

    def _note(self, record: CallRecord, outcome: str, usage: Usage) -> None:
        record.attempts.append(
            Attempt(
                job_id=record.job_id, epoch=record.epoch, step=len(record.attempts), deployment="on",
                started_at=datetime.now(UTC), outcome=outcome, latency_ms=1, usage=usage,
            )
        )  # fmt: skip

    def _tell(self, event: PartStarted | PartDelta, record: CallRecord, emit: Emit | None) -> None:
        record.builder.add(event)
        if emit is not None:
            record.emitted = True
            emit(event)


def order(model: str = "on") -> Order[CompletionRequest]:
    deployment = DEPLOYMENTS.get(model)
    assert deployment
    request = replace(ASKED, model=model)
    return Order(request, deployment, 10, interactive=True, tenant="t", cache=CachePolicy(reads=True, writes=True))


def key() -> str:
    deployment = DEPLOYMENTS.get("on")
    assert deployment
    found = cache_key("t", deployment, ASKED)
    assert found
    return found


@pytest.fixture
async def shared(redis: Redis) -> Any:
    made = Shared(redis, CacheConfig())
    yield made
    await made.close()


async def ask(caller: ContinuingCaller, model: str = "on") -> tuple[CompletionResult, str]:
    """The answer, and what was streamed of it."""
    shown: list[PartStarted | PartDelta] = []
    record = CallRecord(new_id(), 0)
    result = await caller.complete(order(model), record, shown.append)
    assert [event for event in shown if isinstance(event, PartStarted)] == [PartStarted(0, "text")]
    assert record.builder.build().text == result.text
    return result, "".join(event.text for event in shown if isinstance(event, PartDelta))


async def broken(provider: Provider, shared: Shared, marks: Marks | None = None) -> ContinuingCaller:
    """A caller whose first call broke off after two pieces."""
    caller = ContinuingCaller(provider, shared, marks or Marks())
    provider.breaks_after = 2
    with pytest.raises(Interrupted):
        await caller.complete(order(), CallRecord(new_id(), 0), lambda _: None)
    provider.breaks_after = None
    return caller


async def test_the_rest_is_asked_for_and_the_whole_is_streamed(shared: Shared) -> None:
    provider = Provider()
    result, streamed = await ask(await broken(provider, shared))
    assert result.text == streamed == "".join(STORY)
    assert result.finish_reasons == ("stop",)
    assert provider.asked[1].messages == (*ASKED.messages, Message("assistant", (Text("Once upon"),)))
    assert provider.asked[1].extra == {"go_on": True}


async def test_its_usage_is_of_all_calls_that_made_it(shared: Shared) -> None:
    """Two pieces of a first call and one of a second that broke too; the record has its own call only."""
    provider = Provider()
    caller = await broken(provider, shared)
    provider.breaks_after = 1
    with pytest.raises(Interrupted):
        await caller.complete(order(), CallRecord(new_id(), 0), lambda _: None)
    provider.breaks_after = None
    record = CallRecord(new_id(), 0)
    result = await caller.complete(order(), record, lambda _: None)
    assert result.usage == record.builder.build().usage == Usage(7 + 7 + 3, 2 + 1 + 1)
    assert record.own_usage == Usage(3, 1)


async def test_a_part_that_was_not_gone_on_from_is_not_counted(shared: Shared) -> None:
    provider = Provider(refuses=True)
    caller = await broken(provider, shared)
    result, _ = await ask(caller)
    assert result.usage == Usage(3, 4)


async def test_a_part_is_no_entry(shared: Shared) -> None:
    await broken(Provider(), shared)
    assert await shared.get_part(key()) is not None
    assert await shared.get(key(), 0) is None
    assert await shared.enter(key(), "me", 1000, 0.0) == 1, "it is still to be made"


async def test_one_that_breaks_again_leaves_the_longer_part(shared: Shared) -> None:
    provider = Provider()
    caller = await broken(provider, shared)
    provider.breaks_after = 1
    with pytest.raises(Interrupted):
        await caller.complete(order(), CallRecord(new_id(), 0), lambda _: None)
    provider.breaks_after = None
    result, _ = await ask(caller)
    assert result.text == "".join(STORY)
    (said,) = provider.asked[-1].messages[-1].parts
    assert said == Text("Once upon a ti")


async def test_a_model_that_cannot_go_on_is_asked_anew(shared: Shared) -> None:
    provider = Provider()
    result, _ = await ask(await broken(provider, shared), "m")
    assert result.text == "".join(STORY)
    assert provider.asked[-1].messages == ASKED.messages


async def test_a_server_that_takes_no_beginning_gets_the_request_as_it_was(shared: Shared) -> None:
    provider = Provider(refuses=True)
    result, streamed = await ask(await broken(provider, shared))
    assert result.text == streamed == "".join(STORY)
    assert [len(request.messages) for request in provider.asked] == [1, 2, 1]


async def test_what_was_invalidated_is_not_gone_on_from(shared: Shared) -> None:
    provider, marks = Provider(), Marks()
    caller = await broken(provider, shared, marks)
    marks.know([Mark(Scope("t", "on", ""), time.time() + 1)])
    await ask(caller)
    assert provider.asked[-1].messages == ASKED.messages
