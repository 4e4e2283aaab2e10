"""The judgement of an escalating route: which answers are trusted, by the checks and signals it is configured with."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from penstock.completion import CompletionRequest, CompletionResult
from penstock.completion.step import RouteStep, Verdict
from penstock.configuration import AcceptConfig
from penstock.configuration.routes import JudgeConfig, SamplesConfig
from penstock.errors import PenstockError, Unavailable
from penstock.routing.confidence import agreement, stated, willing
from penstock.routing.equivalence import RULES, equivalent
from penstock.routing.exchanges import exchange_of, probability_of, prompt_of
from penstock.routing.grading import judge_request, otherwise, read_grade
from penstock.routing.learnt import LearntPolicy
from penstock.routing.structure import fits_schema

#: asks a configured model something, as one more call of the same job
Ask = Callable[[str, CompletionRequest], Awaitable[CompletionResult]]

#: of finish reasons, those of an answer that is not whole, or none
_UNFINISHED = {"length": "cut short", "content_filter": "filtered", "refusal": "refused"}


@dataclass(frozen=True, slots=True)
class Answered:
    """A newest answer to `request`, by `deployment`, beside those of the route's other models."""

    request: CompletionRequest
    deployment: str
    result: CompletionResult
    others: Sequence[RouteStep] = ()


def _nothing_learnt() -> None:
    return None


class ConfiguredJudge:
    """Trusts an answer that passes every check and that its signals speak for; one without signals, by checks alone.

    Checks (what a caller can verify alone): whole, not refused, of the asked form. Signals: see `AcceptConfig`. With
    `require: any` one of them is enough, with `all` none may be missing; one that has nothing to say does not speak
    for the answer. Those that cost a call are asked last, and only while they can change the verdict.
    """

    def __init__(self, accept: AcceptConfig, learnt: Callable[[], LearntPolicy | None] = _nothing_learnt) -> None:
        """`learnt` gives the verifier that the route has at the moment."""
        self._accept = accept
        self._learnt = learnt
        self._pattern = re.compile(accept.pattern) if accept.pattern is not None else None

    async def __call__(self, answered: Answered, ask: Ask) -> Verdict:
        """See `execution.accept.Judge`."""
        fault = self._fault(answered.request, answered.result)
        if fault is not None:
            return Verdict(accepted=False, confidence=0.0, reason=fault)
        free = (
            self._agreement(answered),
            self._probability(answered.result),
            self._stated(answered.result),
            self._verified(answered),
        )
        found = [verdict for verdict in free if verdict is not None]
        if not self._decided(found) and self._accept.samples is not None:
            found.append(await _sampled(self._accept.samples, answered, ask))
        if not self._decided(found) and self._accept.judge is not None:
            found.append(await _judged(self._accept.judge, answered, ask))
        return self._together(found)

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
        return None

    def _agreement(self, answered: Answered) -> Verdict | None:
        kind = self._accept.agreement
        if kind is None:
            return None
        if not answered.others:
            return _verdict("agreement", None, accepted=False, reason="no other answer to compare with yet")
        text = answered.result.text
        agreeing = [step.deployment for step in answered.others if equivalent(RULES[kind], step.result.text, text)]
        if agreeing:
            return _verdict("agreement", 1.0, accepted=True, reason=f"the same answer as {', '.join(agreeing)}")
        return _verdict("agreement", 0.0, accepted=False, reason="unlike the answers before it")

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


async def _sampled(samples: SamplesConfig, answered: Answered, ask: Ask) -> Verdict:
    """Whether the same model says the same again when it is asked otherwise."""
    texts: list[str | None] = [answered.result.text]
    for number in range(samples.count):
        try:
            texts.append((await ask(answered.deployment, otherwise(answered.request, number))).text)
        except Unavailable:
            raise
        except PenstockError as error:
            return _verdict("samples", None, accepted=False, reason=f"another sample failed: {error.message}")
    share = agreement(texts, RULES[samples.rule]) or 0.0
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
