"""Answers for questions of the same meaning: what is compared, and what decides.

Only the last user turn is compared, and only where everything else of the request is equal: model, system prompt,
earlier turns, tools, parameters. Only whole, successful answers to the same tenant enter, so nobody can place an answer
for others. A near question must pass the gate (`gate`) before its answer is served.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from penstock.cache import gate
from penstock.cache.calibration import Calibration
from penstock.cache.gate import Judge
from penstock.cache.key import seen
from penstock.cache.replay import NEIGHBOURS
from penstock.completion import CompletionRequest, CompletionResult, Message, Text
from penstock.completion.outcome import Outcome
from penstock.store import semantic_answers as store
from penstock.store.database import Database
from penstock.store.semantic_answers import NewAnswer, Place

#: a longer turn is a document rather than a question, and its vector says little
LONGEST_QUESTION = 2000


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its place and its vector, as it is searched and stored."""

    place: Place
    question: str
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Hit:
    """A stored answer that may be served: the question it was given to, the score, and its cost in US dollars."""

    question: str
    score: float
    result: CompletionResult
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """An answer that was just made.

    `deployment` is the configured model that gave it, `age` the seconds since its call began, `cost` in US dollars.
    """

    result: CompletionResult
    deployment: str
    tags: tuple[str, ...]
    age: float
    cost: Decimal | None


def question_of(request: CompletionRequest) -> str | None:
    """The text that is compared: of the last turn, if that is a user's and plain text; None: not for this cache."""
    if request.n != 1 or request.others or request.logprobs or not request.messages:
        return None
    last = request.messages[-1]
    if last.role != "user" or not all(isinstance(part, Text) for part in last.parts):
        return None
    return last.text if last.text.strip() and len(last.text) <= LONGEST_QUESTION else None


def place_of(request: CompletionRequest, tenant: str, space: str) -> Place:
    """Where its answer belongs: all that a model sees but the last question decides."""
    rest = replace(
        request,
        messages=(*request.messages[:-1], Message("user", ())),
        user=None,
        fallback=(),
        max_cost=None,
        extra=seen(request.extra),
        responses_only=seen(request.responses_only),
    )
    scope = hashlib.blake2b(repr(rest).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return Place(tenant, scope, request.model, space)


class SemanticCache:
    """Finds and keeps answers."""

    def __init__(self, database: Database, calibration: Calibration, *, level: str, ttl: float) -> None:
        """`level` names one of the calibration's thresholds; `ttl` is in seconds."""
        self._database = database
        self._calibration = calibration
        self._space = calibration.space
        self._threshold = calibration.thresholds[level]
        self._ttl = ttl

    def asked(self, request: CompletionRequest, question: str, tenant: str, vector: Sequence[float]) -> Asked:
        """A question as it is searched; `vector` comes from the encoder that the calibration is for."""
        raw = np.asarray([vector], np.float32)
        return Asked(place_of(request, tenant, self._space), question, self._calibration.turn(raw)[0])

    def serves(self, hit: Hit) -> bool:
        """Whether it is near enough to be served, or only to be noted."""
        return hit.score >= self._threshold

    async def look_up(
        self, asked: Asked, *, judge: Judge | None = None, max_age: float | None = None, below: float = 0.0
    ) -> Hit | None:
        """The nearest stored answer that is near enough and passes the gate; none older than `max_age` seconds.

        `judge` is asked last, of one after the other. What is so much `below` the threshold is found too.
        """
        found = await store.nearest(
            self._database, asked.place, asked.vector.tolist(), limit=NEIGHBOURS, max_age=max_age
        )
        if not found:
            return None
        others = np.asarray([one.vector for one in found], np.float32)
        scores = self._calibration.scores([asked.question], asked.vector[None], [one.question for one in found], others)
        for score, one in sorted(zip(scores[0].tolist(), found, strict=True), key=lambda pair: -pair[0]):
            if score < self._threshold - below:
                break
            if gate.disagreement(asked.question, one.question) is not None:
                continue
            if judge is not None and not await judge.same(asked.question, one.question):
                continue
            body = await store.body(self._database, one.id)
            result = Outcome.from_bytes(body).result if body is not None else None
            if result is not None:
                return Hit(one.question, score, result, one.cost)
        return None

    async def remember(self, asked: Asked, made: Made) -> None:
        """Keep an answer, if it is a whole one in words."""
        result = made.result
        if result.finish_reasons != ("stop",) or not all(part.kind in {"text", "reasoning"} for part in result.parts):
            return
        answer = NewAnswer(
            question=asked.question,
            vector=asked.vector.tolist(),
            body=Outcome(result=result).to_bytes(),
            deployment=made.deployment,
            tags=made.tags,
            age=made.age,
            cost=made.cost,
        )
        await store.add(self._database, asked.place, answer, ttl=self._ttl)

    async def note(self, asked: Asked, hit: Hit | None, agreement: float | None) -> None:
        """Keep that it was asked, what was nearest, and how alike that was to the real answer (a cosine)."""
        shadow = store.Shadow(asked.question)
        if hit is not None:
            shadow = store.Shadow(asked.question, hit.question, hit.score, agreement)
        await store.note_shadow(self._database, asked.place, shadow)
