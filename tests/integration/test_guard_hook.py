"""A check over HTTP, against a real server that judges, dawdles, or is not there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hook_server import answering

from penstock.configuration.policies import GuardConfig
from penstock.dialects import openai_chat
from penstock.errors import GuardBlocked, GuardUnavailable
from penstock.guard.pipeline import Guard

TEXT = "Zofia \U0001f469 lives in Łódź, me@example.com"


@asynccontextmanager
async def guarding(url: str, **options: Any) -> AsyncIterator[Guard]:
    hook = {"check": "hook", "url": url, "headers": {"authorization": "Bearer t"}, "timeout": 0.5, **options}
    policy = {"input": [{"check": "personal_data"}, hook]}
    guard = Guard(GuardConfig.model_validate({"policies": {"p": policy}, "rules": [{"policy": "p"}]}))
    try:
        yield guard
    finally:
        await guard.close()


async def screened(guard: Guard) -> str:
    request = openai_chat.parse({"model": "m", "messages": [{"role": "user", "content": TEXT}]})
    done = await guard.screen(request, tenant="t", model="m", prompt="messages", on_finding=lambda _: None)
    return done.request.messages[0].text  # type: ignore[union-attr]


async def test_it_sees_what_earlier_checks_left_and_counts_in_characters():
    spans = [{"text": 0, "start": 0, "end": 5, "kind": "name"}, {"text": 0, "start": 17, "end": 21, "kind": "town"}]
    async with answering({"action": "redact", "spans": spans}) as (url, asked), guarding(url) as guard:
        assert await screened(guard) == "[NAME_1] \U0001f469 lives in [TOWN_1], [EMAIL_1]"
    text = {"place": "user", "text": "Zofia \U0001f469 lives in Łódź, [EMAIL_1]"}
    assert asked == [{"direction": "input", "tenant": "t", "model": "m", "texts": [text], "token": "Bearer t"}]


async def test_it_blocks_with_its_reason():
    async with answering({"action": "block", "reason": "no names"}) as (url, _), guarding(url) as guard:
        with pytest.raises(GuardBlocked, match="hook: no names"):
            await screened(guard)


@pytest.mark.parametrize("answer", [3.0, "not JSON", {"action": "maybe"}, [], {"action": "redact", "spans": [{}]}])
async def test_no_verdict(answer: Any):
    async with answering(answer) as (url, _):
        async with guarding(url) as guard:
            with pytest.raises(GuardUnavailable):
                await screened(guard)
        async with guarding(url, on_failure="open") as guard:
            assert await screened(guard) == TEXT.replace("me@example.com", "[EMAIL_1]")


async def test_nobody_there():
    async with answering({"action": "allow"}) as (url, _):
        pass
    async with guarding(url) as guard:
        with pytest.raises(GuardUnavailable):
            await screened(guard)
