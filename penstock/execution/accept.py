"""What becomes of an answer on a route that escalates: it is accepted, or the next model is asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Protocol

from penstock.completion import CompletionRequest, CompletionResult, Usage
from penstock.completion.step import RouteStep, Verdict
from penstock.configuration import Config
from penstock.errors import PenstockError
from penstock.routing.judges import ConfiguredJudge


class Judge(Protocol):
    """The judgement of one route."""

    def __call__(self, request: CompletionRequest, result: CompletionResult, earlier: Sequence[RouteStep]) -> Verdict:
        """What is thought of the newest answer to `request`, beside those that were not accepted before it."""
        ...


#: asked when a route is at its end: there is nobody better to ask
LAST = Verdict(accepted=True, confidence=None, reason="the last step of the route")


@dataclass(frozen=True, slots=True)
class Escalation:
    """A route that asks the next model while an answer is not trusted, as long as `max_cost` (US dollars) allows."""

    route: str
    judge: Judge
    max_cost: Decimal | None = None
    reads_logprobs: bool = False

    def asking(self, request: CompletionRequest) -> CompletionRequest:
        """The request with what the judge wants to see beside the answer."""
        return replace(request, logprobs=True) if self.reads_logprobs else request

    def as_asked(self, request: CompletionRequest, result: CompletionResult) -> CompletionResult:
        """The answer without what only the judge had asked for."""
        return result if request.logprobs else result.without_logprobs()

    def step(
        self,
        request: CompletionRequest,
        deployment: str,
        result: CompletionResult,
        earlier: Sequence[RouteStep],
        *,
        spent: tuple[Usage, Decimal | None],
        last: bool,
    ) -> RouteStep:
        """Judge the newest answer, which came for `spent`; on the `last` step it is accepted in any case."""
        verdict = LAST if last else self.judge(request, result, earlier)
        usage, cost = spent
        if not verdict.accepted and self._exhausted(earlier, cost):
            verdict = Verdict(True, verdict.confidence, f"{verdict.reason}; the budget of the route allows no more")
        return RouteStep(
            deployment=deployment,
            result=result,
            accepted=verdict.accepted,
            confidence=verdict.confidence,
            reason=verdict.reason,
            usage=usage,
            cost=cost,
        )

    def _exhausted(self, earlier: Sequence[RouteStep], cost: Decimal | None) -> bool:
        """Whether the budget is used up. An unknown price counts nothing: it cannot be kept to."""
        known = [price for price in (*(step.cost for step in earlier), cost) if price is not None]
        return self.max_cost is not None and sum(known, Decimal()) >= self.max_cost

    def best(
        self, request: CompletionRequest, earlier: Sequence[RouteStep], deployment: str, error: PenstockError
    ) -> tuple[CompletionResult, dict[str, Any]]:
        """The answer to give when a later step failed, the most trusted one, and how it came to that.

        It was paid for, and its owner is told that it was not trusted.
        """
        chosen = max(reversed(earlier), key=lambda step: step.confidence or 0.0)
        failed = {
            "deployment": deployment,
            "accepted": False,
            "confidence": None,
            "reason": error.message,
            "cost": None,
        }
        routing = self.explain(earlier)
        return self.as_asked(request, chosen.result), {
            **routing,
            "steps": [*routing["steps"], failed],
            "answered_by": chosen.deployment,
        }

    def explain(self, steps: Sequence[RouteStep]) -> dict[str, Any]:
        """Which policy chose what and why, for the owner of the job."""
        explained = [step.explain() for step in steps]
        return {
            "route": self.route,
            "policy": "escalation",
            "answered_by": steps[-1].deployment,
            "steps": explained,
        }


def escalations(config: Config) -> dict[str, Escalation]:
    """The escalating routes of a configuration, by name."""
    return {
        name: Escalation(
            name,
            ConfiguredJudge(route.accept),
            Decimal(str(route.max_cost)) if route.max_cost is not None else None,
            reads_logprobs=route.accept.min_probability is not None,
        )
        for name, route in config.routes.items()
        if route.strategy == "escalation"
    }
