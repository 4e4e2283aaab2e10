"""The judgement of an escalating route: which answers are trusted, by the checks and signals it is configured with."""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from penstock.completion import CompletionRequest, CompletionResult
from penstock.completion.step import RouteStep, Verdict
from penstock.configuration import AcceptConfig
from penstock.configuration.routes import EMBEDDING, HookConfig, JudgeConfig, SamplesConfig, SimilarityConfig
from penstock.errors import PenstockError, Unavailable
from penstock.routing.confidence import stated, willing
from penstock.routing.equivalence import RULES, by_embedding, equivalent
from penstock.routing.exchanges import exchange_of, probability_of, prompt_of
from penstock.routing.grading import judge_request, otherwise, read_grade
from penstock.routing.learnt import LearntPolicy
from penstock.routing.structure import compiles, fits_schema


class Ask(Protocol):
    """Asks a configured model something, as one more call of the same job."""

    async def __call__(self, deployment: str, request: CompletionRequest) -> CompletionResult:
        """Its answer.

        Raises:
            PenstockError: why there is none.
        """
        ...

    async def embed(self, deployment: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """A vector for each text. Raises as above."""
        ...


#: of finish reasons, those of an answer that is not whole, or none
_UNFINISHED = {"length": "cut short", "content_filter": "filtered", "refusal": "refused"}


@dataclass(frozen=True, slots=True)
class Answered:
    """A newest answer to `request`, by `deployment`, beside those of the route's other models.

    `custom_id` is the name that the line of a batch has for its owner.
    """

    request: CompletionRequest
    deployment: str
    result: CompletionResult
    others: Sequence[RouteStep] = ()
    tenant: str = ""
    custom_id: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """What a hook makes of an answer: from 0 to 1, and why."""

    value: float
    reason: str


class NoScore(Exception):
    """Raised when a hook gave no score; says why."""


#: a check of somebody else's; raises NoScore
AskHook = Callable[[Answered], Awaitable[Score]]


def _nothing_learnt() -> None:
    return None


class ConfiguredJudge:
    """Trusts an answer that passes every check and that its signals speak for; one without signals, by checks alone.

    Checks (what a caller can verify alone): whole, not refused, of the asked form. Signals: see `AcceptConfig`. With
    `require: any` one of them is enough, with `all` none may be missing; one that has nothing to say does not speak
    for the answer. Those that cost a call are asked last, and only while they can change the verdict.
    """

    def __init__(
        self,
        accept: AcceptConfig,
        learnt: Callable[[], LearntPolicy | None] = _nothing_learnt,
        hook: AskHook | None = None,
    ) -> None:
        """`learnt` gives the verifier that the route has at the moment; `hook` is the one that `accept` names."""
        self._accept = accept
        self._learnt = learnt
        self._hook = hook
        self._pattern = re.compile(accept.pattern) if accept.pattern is not None else None

    async def __call__(self, answered: Answered, ask: Ask) -> Verdict:
        """See `execution.accept.Judge`."""
        fault = self._fault(answered.request, answered.result)
        if fault is not None:
            return Verdict(accepted=False, confidence=0.0, reason=fault)
        accept = self._accept
        found = [verdict for verdict in self._free(answered) if verdict is not None]
        if not self._decided(found) and accept.agreement == EMBEDDING:
            found.append(await _alike(accept, answered, ask))
        if not self._decided(found) and accept.hook is not None and self._hook is not None:
            found.append(await _hooked(accept.hook, self._hook, answered))
        if not self._decided(found) and accept.samples is not None:
            found.append(await _sampled(accept.samples, accept.similarity, answered, ask))
        if not self._decided(found) and accept.judge is not None:
            found.append(await _judged(accept.judge, answered, ask))
        return self._together(found)

    def _free(self, answered: Answered) -> Iterator[Verdict | None]:
        """Of the signals that cost no call what they say; None of one that is not configured."""
        if self._accept.agreement not in {None, EMBEDDING}:
            rule = RULES[self._accept.agreement]
            yield _agreed(answered, [equivalent(rule, said, answered.result.text) for said in _said(answered)])
        yield self._probability(answered.result)
        yield self._stated(answered.result)
        yield self._verified(answered)

    def _decided(self, found: Sequence[Verdict]) -> bool:
        """Whether no further signal can change the verdict."""
        return any(verdict.accepted is (self._accept.require == "any") for verdict in found)

    def _together(self, found: Sequence[Verdict]) -> Verdict:
        if not found:
            return Verdict(accepted=True, confidence=None, reason="passed its checks")
        signals = {name: value for verdict in found for name, value in verdict.signals.items()}
        wanted = self._accept.require == "any"
        deciding = next((verdict for verdict in found if verdict.accepted is wanted), None)
        if deciding is not None:
            return replace(deciding, signals=signals)
        if wanted:
            return replace(max(found, key=lambda verdict: verdict.confidence or 0.0), signals=signals)
        confidences = [verdict.confidence for verdict in found if verdict.confidence is not None]
        reason = "; ".join(verdict.reason for verdict in found)
        return Verdict(True, min(confidences, default=None), reason, signals)

    def _fault(self, request: CompletionRequest, result: CompletionResult) -> str | None:
        """What is wrong with the answer by itself."""
        for reason in result.finish_reasons:
            if reason in _UNFINISHED:
                return _UNFINISHED[reason]
        if any(part.kind == "tool_call" for part in result.parts):
            return None
        if any(part.kind == "refusal" for part in result.parts) or not willing(result.text):
            return "refused"
        if not result.text.strip():
            return "empty"
        if self._pattern is not None and self._pattern.search(result.text) is None:
            return "not of the pattern"
        form = request.response_format
        if form is not None and form.kind != "text" and not fits_schema(form.schema or {}, result.text):
            return "not the JSON that was asked for"
        if self._accept.json_schema is not None and not fits_schema(self._accept.json_schema, result.text):
            return "not JSON of the schema"
        if self._accept.code is not None and not compiles(result.text):
            return "its code does not compile"
        return None

    def _probability(self, result: CompletionResult) -> Verdict | None:
        least = self._accept.min_probability
        if least is None:
            return None
        found = probability_of(result)
        if found is None:
            reason = "the provider told no token probabilities"
            return _verdict("token_probability", None, accepted=False, reason=reason)
        return _compared("token_probability", found, least, f"token probability {found:.2f}")

    def _stated(self, result: CompletionResult) -> Verdict | None:
        least = self._accept.min_stated
        if least is None:
            return None
        found = stated(result.text)
        if found is None:
            return _verdict("stated", None, accepted=False, reason="the answer states no confidence")
        return _compared("stated", found, least, f"it states {found:.2f}")

    def _verified(self, answered: Answered) -> Verdict | None:
        if not self._accept.verifier:
            return None
        policy = self._learnt()
        if policy is None or policy.kind != "verifier":
            return _verdict("verifier", None, accepted=False, reason="no verifier was learnt for this route yet")
        if answered.deployment != policy.cheap:
            reason = f"the verifier was learnt on answers of {policy.cheap}"
            return _verdict("verifier", None, accepted=False, reason=reason)
        found = policy.artefact.decide(exchange_of(answered.request, answered.result, policy.rule))
        confidence = min(max(1.0 - found.prediction.cheap_wrong, 0.0), 1.0)
        signals = {"verifier": confidence, "need": found.need, "artefact": float(policy.version)}
        signals["strange"] = float(found.strange is not None)
        return Verdict(not found.escalate, confidence, f"verifier {policy.version}: {found.words()}", signals)


def _said(answered: Answered) -> list[str]:
    return [step.result.text for step in answered.others]


def _agreed(answered: Answered, same: Sequence[bool]) -> Verdict:
    """What it says of an answer which of the others say the same."""
    if not answered.others:
        return _verdict("agreement", None, accepted=False, reason="no other answer to compare with yet")
    agreeing = [step.deployment for step, agrees in zip(answered.others, same, strict=True) if agrees]
    if agreeing:
        return _verdict("agreement", 1.0, accepted=True, reason=f"the same answer as {', '.join(agreeing)}")
    return _verdict("agreement", 0.0, accepted=False, reason="unlike the answers before it")


async def _alike(accept: AcceptConfig, answered: Answered, ask: Ask) -> Verdict:
    """Agreement by meaning."""
    try:
        return _agreed(answered, await _same(EMBEDDING, accept.similarity, answered.result.text, _said(answered), ask))
    except Unavailable:
        raise
    except PenstockError as error:
        return _verdict("agreement", None, accepted=False, reason=f"the answers were not compared: {error.message}")


async def _same(
    rule: str, similarity: SimilarityConfig | None, text: str, others: Sequence[str], ask: Ask
) -> list[bool]:
    """Which of the other texts say the same. Raises as `Ask`, where it asks for vectors."""
    if rule != EMBEDDING:
        return [equivalent(RULES[rule], text, other) for other in others]
    assert similarity is not None  # a configuration with this rule has it
    # silence has no vector, and is no agreement
    told = [other for other in others if other.strip()]
    if not text.strip() or not told:
        return [False] * len(others)
    own, *theirs = await ask.embed(similarity.model, [text, *told])
    alike = iter([by_embedding(own, vector, similarity.min) for vector in theirs])
    return [bool(other.strip()) and next(alike) for other in others]


async def _hooked(config: HookConfig, hook: AskHook, answered: Answered) -> Verdict:
    try:
        score = await hook(answered)
    except NoScore as error:
        return _verdict("hook", None, accepted=False, reason=f"the hook gave no score: {error}")
    words = f"the hook gives it {score.value:.2f}" + (f" ({score.reason})" if score.reason else "")
    return _compared("hook", score.value, config.min, words)


async def _sampled(
    samples: SamplesConfig, similarity: SimilarityConfig | None, answered: Answered, ask: Ask
) -> Verdict:
    """Whether the same model says the same again when it is asked otherwise."""
    prompts = [otherwise(answered.request, number) for number in range(samples.count)]
    try:
        texts = [(await ask(answered.deployment, prompt)).text for prompt in prompts]
        same = await _same(samples.rule, similarity, answered.result.text, texts, ask)
    except Unavailable:
        raise
    except PenstockError as error:
        return _verdict("samples", None, accepted=False, reason=f"another sample failed: {error.message}")
    share = sum(same) / len(same)
    return _compared("samples", share, samples.min, f"{share:.0%} of {samples.count} more samples say the same")


async def _judged(judge: JudgeConfig, answered: Answered, ask: Ask) -> Verdict:
    """What the judge says; one that fails says nothing, and so does not speak for the answer."""
    question = prompt_of(answered.request)
    try:
        reply = await ask(judge.model, judge_request(judge, question, answered.result.text))
    except Unavailable:
        raise
    except PenstockError as error:
        return _verdict("judge", None, accepted=False, reason=f"the judge {judge.model} failed: {error.message}")
    grade = read_grade(reply.text)
    if grade is None:
        return _verdict("judge", None, accepted=False, reason=f"the judge {judge.model} gave no grade")
    return _compared("judge", grade, judge.min, f"{judge.model} grades it {grade:.2f}")


def _compared(name: str, found: float, least: float, words: str) -> Verdict:
    relation = "at least" if found >= least else "below"
    return _verdict(name, found, accepted=found >= least, reason=f"{words}, {relation} {least:g}")


def _verdict(name: str, confidence: float | None, *, accepted: bool, reason: str) -> Verdict:
    return Verdict(accepted, confidence, reason, {name: confidence})
