"""Which answers an escalating route trusts: checks first, then signals, those that cost a call last."""

from collections.abc import Sequence
from typing import Any

import pytest

from penstock.completion import CompletionRequest, CompletionResult, ResultPart, Usage
from penstock.completion.messages import Message, Text
from penstock.completion.step import RouteStep
from penstock.configuration import AcceptConfig
from penstock.errors import ProviderUnreachable, Unavailable
from penstock.routing.artefact import Artefact
from penstock.routing.difficulty import LearnedScore
from penstock.routing.judges import Answered, ConfiguredJudge
from penstock.routing.learnt import LearntPolicy

REQUEST = CompletionRequest(model="smart", messages=(Message("user", (Text("How much is 6 * 7?"),)),))


def result(text: str, reason: Any = "stop") -> CompletionResult:
    return CompletionResult((ResultPart("text", text),), ((0, len(text), 0),), (reason,), Usage(5, 6))


def other(text: str) -> RouteStep:
    return RouteStep("other", result(text), False, None, "", Usage(), None)


class Asked:
    """Models that answer what they are told to, and count how often they are asked."""

    def __init__(self, **answers: str | Exception) -> None:
        self._answers = answers
        self.requests: list[tuple[str, CompletionRequest]] = []
        self.embedded: list[list[str]] = []

    async def __call__(self, deployment: str, request: CompletionRequest) -> CompletionResult:
        self.requests.append((deployment, request))
        answer = self._answers[deployment]
        if isinstance(answer, Exception):
            raise answer
        return result(answer)

    async def embed(self, deployment: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Texts that begin alike have alike vectors."""
        vectors = self._answers[deployment]
        if isinstance(vectors, Exception):
            raise vectors
        self.embedded.append(list(texts))
        return [(1.0, 0.1) if text.startswith(vectors) else (0.1, 1.0) for text in texts]


def verifier(threshold: float | None, cheap_wrong: float = 0.3) -> LearntPolicy:
    score = LearnedScore(True, {}, {}, {}, (cheap_wrong, 0.0, 0.0))
    return LearntPolicy("verifier", "cheap", "strong", Artefact(0.99, threshold, 0.5, 0.0, score, {}), version=3)


async def judge(text: str, asked: Asked | None = None, others: Any = (), policy: Any = None, **accept: Any) -> Any:
    configured = ConfiguredJudge(AcceptConfig.model_validate(accept), lambda: policy)
    return await configured(Answered(REQUEST, "cheap", result(text), others), asked or Asked())


async def test_a_judge_model_is_asked_last_and_only_where_it_can_change_the_verdict():
    asked = Asked(wise="85")
    spoken_for = await judge("42", asked, [other("42")], agreement="numeric", judge={"model": "wise"})
    assert (spoken_for.accepted, asked.requests) == (True, [])
    found = await judge("42", asked, [other("43")], agreement="numeric", judge={"model": "wise"})
    assert (found.accepted, found.confidence, len(asked.requests)) == (True, 0.85, 1)
    assert found.signals == {"agreement": 0.0, "judge": 0.85}
    assert "How much is 6 * 7?" in asked.requests[0][1].messages[-1].text
    refused = await judge("42", asked, [other("43")], agreement="numeric", judge={"model": "wise"}, require="all")
    assert (refused.accepted, len(asked.requests)) == (False, 1)


async def test_with_all_required_each_has_to_speak_for_it():
    asked = Asked(wise="85")
    both = {"agreement": "numeric", "judge": {"model": "wise", "min": 0.8}, "require": "all"}
    found = await judge("42", asked, [other("42")], **both)
    assert (found.accepted, found.confidence) == (True, 0.85)
    assert "the same answer as other" in found.reason
    assert "wise grades it 0.85" in found.reason
    assert not (await judge("42", Asked(wise="79"), [other("42")], **both)).accepted
    nobody_yet = await judge("42", asked, [], **both)
    assert (nobody_yet.accepted, nobody_yet.confidence) == (False, None)


@pytest.mark.parametrize(
    ("reply", "grade"),
    [("90", 0.9), ("I say 70/100", 0.7), ("100%", 1.0), ("about 7 of 10: 65", 0.65), ("no idea", None), ("250", None)],
)
async def test_the_last_number_of_a_judge_is_its_grade(reply: str, grade: float | None):
    found = await judge("42", Asked(wise=reply), judge={"model": "wise", "min": 0.6})
    assert (found.confidence, found.accepted) == (grade, grade is not None)


async def test_a_judge_that_fails_does_not_speak_for_an_answer():
    found = await judge("42", Asked(wise=ProviderUnreachable("away")), judge={"model": "wise"})
    assert (found.accepted, found.confidence) == (False, None)
    assert "wise failed: away" in found.reason
    with pytest.raises(Unavailable):
        await judge("42", Asked(wise=Unavailable("the database is away")), judge={"model": "wise"})


async def test_the_same_model_is_asked_again_otherwise():
    samples = {"samples": {"count": 2, "rule": "numeric"}}
    asked = Asked(cheap="it is 42")
    assert (await judge("42", asked, **samples)).accepted
    texts = [request.messages[-1].text for _, request in asked.requests]
    assert len(set(texts)) == 2
    assert all(text.startswith("How much is 6 * 7?\n\n") for text in texts)
    assert not (await judge("41", Asked(cheap="it is 42"), **samples)).accepted


@pytest.mark.parametrize(("threshold", "accepted"), [(0.2, False), (0.4, True), (None, False)])
async def test_a_learnt_verifier_decides_by_its_threshold(threshold: float | None, accepted: bool):
    found = await judge("42", verifier=True, policy=verifier(threshold))
    assert (found.accepted, found.confidence) == (accepted, pytest.approx(0.7))
    assert found.signals == {
        "verifier": pytest.approx(0.7),
        "need": pytest.approx(0.3),
        "artefact": 3.0,
        "strange": 0.0,
    }
    assert found.reason.startswith("verifier 3: ")


async def test_a_verifier_that_is_not_there_or_knows_another_model_says_nothing():
    assert "no verifier" in (await judge("42", verifier=True)).reason
    policy = LearntPolicy("verifier", "another", "strong", verifier(0.9).artefact)
    found = await judge("42", verifier=True, policy=policy)
    assert (found.accepted, found.confidence) == (False, None)


BY_MEANING = {"agreement": "embedding", "similarity": {"model": "vectors"}}


async def test_free_text_agrees_by_meaning():
    asked = Asked(vectors="It is")
    found = await judge("It is rather blue.", asked, [other(""), other("It is blue.")], **BY_MEANING)
    assert (found.accepted, found.signals) == (True, {"agreement": 1.0})
    assert asked.embedded == [["It is rather blue.", "It is blue."]]
    found = await judge("No idea.", asked, [other("It is blue.")], **BY_MEANING)
    assert (found.accepted, found.signals) == (False, {"agreement": 0.0})
    assert not (await judge("It is blue.", asked, [other(" ")], **BY_MEANING)).accepted
    assert len(asked.embedded) == 2, "silence is not compared"


async def test_vectors_that_cannot_be_had_speak_for_nothing():
    found = await judge("x", Asked(vectors=ProviderUnreachable("away")), [other("x")], **BY_MEANING)
    assert (found.accepted, found.confidence) == (False, None)
    assert "not compared: away" in found.reason
    with pytest.raises(Unavailable):
        await judge("x", Asked(vectors=Unavailable("the database is away")), [other("x")], **BY_MEANING)


async def test_samples_are_compared_by_meaning_too():
    samples = {"samples": {"count": 2, "rule": "embedding"}, "similarity": {"model": "vectors"}}
    assert (await judge("It is 42", Asked(cheap="It is so", vectors="It is"), **samples)).accepted
    assert not (await judge("It is 42", Asked(cheap="No", vectors="It is"), **samples)).accepted


@pytest.mark.parametrize(
    ("text", "accept", "fault"),
    [
        ('{"n": 1}', {"json_schema": {"required": ["n"]}}, None),
        ("{}", {"json_schema": {"required": ["n"]}}, "not JSON of the schema"),
        ("```python\nx = 1\n```", {"code": "python"}, None),
        ("```python\nx = \n```", {"code": "python"}, "its code does not compile"),
    ],
)
async def test_an_answers_form_is_checked_before_anybody_is_asked(text: str, accept: Any, fault: str | None):
    asked = Asked(wise="100")
    found = await judge(text, asked, judge={"model": "wise"}, **accept)
    assert found.accepted is (fault is None)
    assert len(asked.requests) == (fault is None)
    if fault is not None:
        assert found.reason == fault


@pytest.mark.parametrize(
    ("answer", "word"),
    [(result("4", "length"), "cut short"), (result(" "), "empty"), (result("I'm sorry, I cannot help"), "refused")],
)
async def test_no_signal_speaks_for_what_fails_its_checks(answer: CompletionResult, word: str):
    configured = ConfiguredJudge(AcceptConfig.model_validate({"judge": {"model": "wise"}}))
    asked = Asked(wise="100")
    found = await configured(Answered(REQUEST, "cheap", answer), asked)
    assert (found.accepted, found.reason, asked.requests) == (False, word, [])
