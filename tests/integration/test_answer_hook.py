"""A check of an answer over HTTP, against a real server that scores, dawdles, or is not there."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from penstock.completion import CompletionRequest, CompletionResult, ResultPart, Usage
from penstock.completion.messages import Message, Text
from penstock.configuration import AcceptConfig
from penstock.execution.hook import AnswerHook
from penstock.routing.judges import Answered, ConfiguredJudge

CODE = "```python\nprint(6 * 7)\n```"
REQUEST = CompletionRequest(model="smart", messages=(Message("user", (Text("Print the product."),)),))
RESULT = CompletionResult((ResultPart("text", CODE),), ((0, len(CODE), 0),), ("stop",), Usage(5, 6))


@asynccontextmanager
async def scoring(answer: Any) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers with this (a number: that status; text: as it is; a list: too late), and what it got."""
    asked: list[dict[str, Any]] = []

    async def score(request: web.Request) -> web.Response:
        asked.append({**json.loads(await request.text()), "key": request.headers.get("x-key")})
        if isinstance(answer, list):
            await asyncio.sleep(60)
        if isinstance(answer, int):
            return web.Response(status=answer)
        return web.Response(text=answer if isinstance(answer, str) else json.dumps(answer))

    app = web.Application()
    app.router.add_post("/tests", score)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/tests", asked
    finally:
        await runner.cleanup()


class Nobody:
    async def __call__(self, deployment: str, _: Any) -> Any:
        raise AssertionError(f"{deployment} is not to be asked")

    embed = __call__


async def judged(url: str, **hook: Any) -> Any:
    accept = AcceptConfig.model_validate({"hook": {"url": url, "headers": {"x-key": "k"}, "timeout": 1.0, **hook}})
    assert accept.hook is not None
    asking = AnswerHook(accept.hook, "smart")
    try:
        judge = ConfiguredJudge(accept, hook=asking)
        return await judge(Answered(REQUEST, "cheap", RESULT, (), "evals", "row-7"), Nobody())
    finally:
        await asking.close()


async def test_it_is_shown_question_and_answer_and_its_score_decides() -> None:
    async with scoring({"score": 0.75, "reason": "3 of 4 tests passed"}) as (url, asked):
        found = await judged(url, min=0.5)
        assert (found.accepted, found.confidence, found.signals) == (True, 0.75, {"hook": 0.75})
        assert "3 of 4 tests passed" in found.reason
        assert not (await judged(url)).accepted, "all must pass unless something else is said"
    assert asked[0] == {
        "route": "smart",
        "tenant": "evals",
        "custom_id": "row-7",
        "model": "cheap",
        "question": "Print the product.",
        "answer": CODE,
        "key": "k",
    }


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (500, "status 500"),
        ("so so", "gave no score"),
        ({"score": 7}, "no score from 0 to 1"),
        ({"score": "1"}, "no score from 0 to 1"),
        (["late"], "nothing within 1 s"),
    ],
)
async def test_without_a_score_it_does_not_speak_for_the_answer(answer: Any, word: str) -> None:
    async with scoring(answer) as (url, _):
        found = await judged(url)
    assert (found.accepted, found.confidence, found.signals) == (False, None, {"hook": None})
    assert word in found.reason


async def test_one_that_is_not_there_does_not_either() -> None:
    found = await judged("http://127.0.0.1:9/tests")
    assert (found.accepted, found.confidence) == (False, None)
