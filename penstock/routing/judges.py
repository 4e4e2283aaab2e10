"""The judgement of an escalating route: which answers are trusted, by the checks and signals it is configured with."""

import re
from collections.abc import Sequence

from penstock.completion import CompletionRequest, CompletionResult
from penstock.completion.step import RouteStep, Verdict
from penstock.configuration import AcceptConfig
from penstock.routing.confidence import stated, token_probability, willing
from penstock.routing.equivalence import RULES, equivalent
from penstock.routing.structure import fits_schema

#: of finish reasons, those of an answer that is not whole, or none
_UNFINISHED = {"length": "cut short", "content_filter": "filtered", "refusal": "refused"}


class ConfiguredJudge:
    """Trusts an answer that passes every check and that one signal speaks for, or that no signal was asked about.

    Checks (what a caller can verify alone): whole, not refused, of the asked form. Signals: agreement with an earlier
    answer of another model, the probability of its tokens, and the confidence that it states itself.
    """

    def __init__(self, accept: AcceptConfig) -> None:
        self._accept = accept
        self._pattern = re.compile(accept.pattern) if accept.pattern is not None else None

    def __call__(self, request: CompletionRequest, result: CompletionResult, earlier: Sequence[RouteStep]) -> Verdict:
        """See `execution.accept.Judge`."""
        fault = self._fault(request, result)
        if fault is not None:
            return Verdict(accepted=False, confidence=0.0, reason=fault)
        signals = [self._agreement(result, earlier), self._probability(result), self._stated(result)]
        found = [signal for signal in signals if signal is not None]
        for verdict in found:
            if verdict.accepted:
                return verdict
        return found[0] if found else Verdict(accepted=True, confidence=None, reason="passed its checks")

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

    def _agreement(self, result: CompletionResult, earlier: Sequence[RouteStep]) -> Verdict | None:
        kind = self._accept.agreement
        if kind is None:
            return None
        if not earlier:
            return Verdict(accepted=False, confidence=None, reason="no other answer to compare with yet")
        agreeing = [step.deployment for step in earlier if equivalent(RULES[kind], step.result.text, result.text)]
        if agreeing:
            return Verdict(accepted=True, confidence=1.0, reason=f"the same answer as {', '.join(agreeing)}")
        return Verdict(accepted=False, confidence=0.0, reason="unlike the answers before it")

    def _probability(self, result: CompletionResult) -> Verdict | None:
        least = self._accept.min_probability
        if least is None:
            return None
        found = token_probability(
            [float(entry["logprob"]) for part in result.parts if part.kind == "text" for entry in part.logprobs]
        )
        if found is None:
            return Verdict(accepted=False, confidence=None, reason="the provider told no token probabilities")
        relation = "at least" if found >= least else "below"
        return Verdict(
            accepted=found >= least, confidence=found, reason=f"token probability {found:.2f}, {relation} {least:g}"
        )

    def _stated(self, result: CompletionResult) -> Verdict | None:
        least = self._accept.min_stated
        if least is None:
            return None
        found = stated(result.text)
        if found is None:
            return Verdict(accepted=False, confidence=None, reason="the answer states no confidence")
        relation = "at least" if found >= least else "below"
        return Verdict(found >= least, found, f"it states {found:.2f}, {relation} {least:g}")
