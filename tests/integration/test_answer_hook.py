"""A check of an answer over HTTP, against a real server that scores, dawdles, or is not there."""

from typing import Any

import pytest
from hook_server import answering

from penstock.completion import CompletionRequest, CompletionResult, ResultPart, Usage
from penstock.completion.messages import Message, Text
from penstock.configuration import AcceptConfig
from penstock.execution.hook import AnswerHook
from penstock.routing.judges import Answered, ConfiguredJudge

CODE = "```python\nprint(6 * 7)\n```"
REQUEST = CompletionRequest(model="smart", messages=(Message("user", (Text("Print the product."),)),))
RESULT = CompletionResult((ResultPart("text", CODE),), ((0, len(CODE), 0),), ("stop",), Usage(5, 6))


class Nobody:
    async def __call__(self, deployment: str, _: Any) -> Any:
        raise AssertionError(f"{deployment} is not to be asked")

    embed = __call__


async def judged(url: str, **hook: Any) -> Any:
    accept = AcceptConfig.model_validate(
        {"hook": {"url": url, "headers": {"authorization": "Bearer t"}, "timeout": 1.0, **hook}}
    )
    assert accept.hook is not None
    asking = AnswerHook(accept.hook, "smart")
    try:
        judge = ConfiguredJudge(accept, hook=asking)
        return await judge(Answered(REQUEST, "cheap", RESULT, (), "evals", "row-7"), Nobody())
    finally:
        await asking.close()


async def test_it_is_shown_question_and_answer_and_its_score_decides() -> None:
    async with answering({"score": 0.75, "reason": "3 of 4 tests passed"}) as (url, asked):
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
        "token": "Bearer t",
    }


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (500, "status 500"),
        ("so so", "gave no score"),
        ({"score": 7}, "no score from 0 to 1"),
        ({"score": "1"}, "no score from 0 to 1"),
        (60.0, "nothing within 1 s"),
    ],
)
async def test_without_a_score_it_does_not_speak_for_the_answer(answer: Any, word: str) -> None:
    async with answering(answer) as (url, _):
        found = await judged(url)
    assert (found.accepted, found.confidence, found.signals) == (False, None, {"hook": None})
    assert word in found.reason


async def test_one_that_is_not_there_does_not_either() -> None:
    found = await judged("http://127.0.0.1:9/tests")
    assert (found.accepted, found.confidence) == (False, None)
