"""A check of an answer that is not Penstock's own: tests that run its code, a look into a database, a person.

Answers are never run here. Whoever has tests for them runs them where that is safe, and says how many passed.
"""

from typing import Any

from penstock.configuration.routes import HookConfig
from penstock.hooks import Hook, NoJudgement
from penstock.routing.exchanges import prompt_of
from penstock.routing.judges import Answered, NoScore, Score

_MOST_REASON = 200


class AnswerHook:
    """Posts question and answer; expects `{"score": 0.5, "reason": "…"}`, the reason if there is one."""

    def __init__(self, config: HookConfig, route: str) -> None:
        self._hook = Hook(config.url, config.headers, config.timeout)
        self._route = route

    async def __call__(self, answered: Answered) -> Score:
        """See `judges.AskHook`."""
        body = {
            "route": self._route,
            "tenant": answered.tenant,
            "custom_id": answered.custom_id,
            "model": answered.deployment,
            "question": prompt_of(answered.request),
            "answer": answered.result.text,
        }
        try:
            return _read(await self._hook.ask(body))
        except NoJudgement as error:
            raise NoScore(str(error)) from error

    async def close(self) -> None:
        """Close its connections."""
        await self._hook.close()


def _read(value: Any) -> Score:
    score = value.get("score") if isinstance(value, dict) else None
    if not isinstance(score, int | float) or not 0 <= score <= 1:
        raise NoScore("no score from 0 to 1")
    return Score(float(score), str(value.get("reason") or "")[:_MOST_REASON])
