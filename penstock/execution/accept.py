"""What becomes of an answer on a route that escalates: it is accepted, or the next model is asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

from penstock.completion import CompletionRequest, CompletionResult, Usage
from penstock.completion.encoding import dumps
from penstock.completion.step import RouteStep, Verdict
from penstock.configuration import Config
from penstock.errors import ConfigError, PenstockError
from penstock.execution.hook import AnswerHook
from penstock.routing.exchanges import TOKEN_PROBABILITY
from penstock.routing.judges import Answered, Ask, ConfiguredJudge
from penstock.routing.learnt import LearntPolicies, LearntPolicy
from penstock.rules.json_schema import unusable


class Judge(Protocol):
    """The judgement of one route."""

    async def __call__(self, answered: Answered, ask: Ask) -> Verdict:
        """What is thought of the newest answer, beside those of the route's other models; `ask` asks one more model.

        Raises:
            Unavailable: a part of Penstock is away.
        """
        ...


#: asked when a route is at its end: there is nobody better to ask
LAST = Verdict(accepted=True, confidence=None, reason="the last step of the route")
UNNEEDED = Verdict(accepted=False, confidence=None, reason="asked at the same time, and not needed")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer to be judged: whose it is, what it cost so far (`spent` is looked at again once it was judged)."""

    deployment: str
    result: CompletionResult
    spent: Callable[[], tuple[Usage, Decimal | None]]
    ask: Ask

    def step(self, verdict: Verdict = UNNEEDED) -> RouteStep:
        """The answer as a step of its route."""
        usage, cost = self.spent()
        return RouteStep(
            deployment=self.deployment,
            result=self.result,
            accepted=verdict.accepted,
            confidence=verdict.confidence,
            reason=verdict.reason,
            usage=usage,
            cost=cost,
            signals=verdict.signals,
        )


def _nothing_learnt() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Escalation:
    """A route that asks the next model while an answer is not trusted, as long as `max_cost` (US dollars) allows.

    The first `parallel` models are asked at once. `shows` says that a stream shows answers before they are accepted.
    """

    route: str
    judge: Judge
    max_cost: Decimal | None = None
    reads_logprobs: bool = False
    parallel: int = 1
    shows: bool = False
    #: the learnt policy that the route has at the moment
    learnt: Callable[[], LearntPolicy | None] = _nothing_learnt
    #: whether nothing but the verifier speaks for an answer
    only_verified: bool = False
    hook: AnswerHook | None = None

    async def close(self) -> None:
        """Close what it holds open."""
        if self.hook is not None:
            await self.hook.close()

    def asking(self, request: CompletionRequest, deployment: str) -> CompletionRequest:
        """The request with what the judge wants to see beside the answer of this model."""
        policy = self.learnt()
        verifying = policy is not None and policy.cheap == deployment and TOKEN_PROBABILITY in policy.signals
        return replace(request, logprobs=True) if self.reads_logprobs or verifying else request

    def as_asked(self, request: CompletionRequest, result: CompletionResult) -> CompletionResult:
        """The answer without what only the judge had asked for."""
        return result if request.logprobs else result.without_logprobs()

    def pointless(self, deployment: str) -> str | None:
        """The model to ask in place of this one, where calibration found that this one's answer is never kept."""
        policy = self.learnt()
        if policy is None or not self.only_verified or policy.kind != "verifier" or policy.cheap != deployment:
            return None
        artefact = policy.artefact
        return policy.strong if artefact.threshold is None and artefact.always == "strong" else None

    async def judged(
        self,
        request: CompletionRequest,
        candidates: Sequence[Candidate],
        earlier: Sequence[RouteStep],
        *,
        last: bool,
        tenant: str,
        custom_id: str | None = None,
    ) -> tuple[list[RouteStep], RouteStep | None]:
        """Judge the newest answers, asked at once where there are several, and those `earlier` of other models.

        On the `last` stage of a route, or when its budget or the request's is used up, one is accepted in any case.

        Returns:
            The candidates as steps, in their order, and the one that is accepted, if any.
        """
        if last and len(candidates) == 1:
            only = candidates[0].step(LAST)
            return [only], only
        steps = [candidate.step() for candidate in candidates]
        for place, candidate in enumerate(candidates):
            others = [*earlier, *steps[:place], *steps[place + 1 :]]
            answered = Answered(request, candidate.deployment, candidate.result, others, tenant, custom_id)
            verdict = await self.judge(answered, candidate.ask)
            steps[place] = candidate.step(verdict)
            if verdict.accepted:
                return steps, steps[place]
        end = LAST.reason if last else None
        if self._exhausted(request, [*earlier, *steps]):
            end = "the budget allows no more"
        if end is None:
            return steps, None
        place = max(range(len(steps)), key=lambda number: (steps[number].confidence or 0.0, number))
        steps[place] = replace(steps[place], accepted=True, reason=f"{steps[place].reason}; {end}")
        return steps, steps[place]

    def _exhausted(self, request: CompletionRequest, steps: Sequence[RouteStep]) -> bool:
        """Whether the budget of route or request is used up. An unknown price counts nothing: it cannot be kept to."""
        known = [step.cost for step in steps if step.cost is not None]
        own = Decimal(str(request.max_cost)) if request.max_cost is not None else None
        limits = [limit for limit in (self.max_cost, own) if limit is not None]
        return bool(limits) and sum(known, Decimal()) >= min(limits)

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
            "signals": {},
        }
        routing = self.explain(earlier, chosen)
        return self.as_asked(request, chosen.result), {**routing, "steps": [*routing["steps"], failed]}

    def explain(self, steps: Sequence[RouteStep], chosen: RouteStep) -> dict[str, Any]:
        """Which policy chose what and why, for the owner of the job."""
        asked = [version for step in steps if (version := step.signals.get("artefact")) is not None]
        return {
            "route": self.route,
            "policy": "escalation",
            "answered_by": chosen.deployment,
            "artefact": int(asked[-1]) if asked else None,
            "steps": [step.explain() for step in steps],
        }


def escalations(config: Config, learnt: LearntPolicies) -> dict[str, Escalation]:
    """The escalating routes of a configuration, by name.

    Raises:
        ConfigError: the JSON schema of one cannot be used.
    """
    found = {}
    for name, route in config.routes.items():
        if route.strategy != "escalation":
            continue
        accept, policy = route.accept, partial(learnt.policy, name)
        others = (
            accept.agreement, accept.min_probability, accept.min_stated, accept.hook, accept.samples, accept.judge
        )  # fmt: skip
        if accept.json_schema is not None and (why := unusable(dumps(accept.json_schema))) is not None:
            raise ConfigError(f"routes.{name}.accept.json_schema cannot be used: {why}")
        hook = AnswerHook(accept.hook, name) if accept.hook is not None else None
        found[name] = Escalation(
            name,
            ConfiguredJudge(accept, policy, hook),
            Decimal(str(route.max_cost)) if route.max_cost is not None else None,
            reads_logprobs=accept.min_probability is not None,
            parallel=route.parallel,
            shows=route.stream == "generations",
            learnt=policy,
            only_verified=accept.verifier and not any(others),
            hook=hook,
        )
    return found
