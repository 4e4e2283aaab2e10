"""A request and its answer as a learned score sees them: the same for what is learnt from and for what is served."""

from collections.abc import Iterable

from penstock.completion import CompletionRequest, CompletionResult
from penstock.routing.confidence import stated, token_probability
from penstock.routing.equivalence import RULES
from penstock.routing.features import Exchange

#: the names under which signals are learnt; every exchange with an answer has all of them, None where one says nothing
TOKEN_PROBABILITY, STATED = "token_probability", "stated"


def prompt_of(request: CompletionRequest) -> str:
    """What was asked: the user's own words, without instructions that are the same for every request."""
    return "\n".join(message.text for message in request.messages if message.role == "user")


def probability_of(result: CompletionResult) -> float | None:
    """The geometric mean of its tokens' probabilities, None where the vendor told none."""
    return token_probability(
        [float(entry["logprob"]) for part in result.parts if part.kind == "text" for entry in part.logprobs]
    )


def answered(prompt: str, answer: str, probability: float | None, rule: str | None) -> Exchange:
    """A prompt with an answer; `rule` says what its short form is."""
    form = RULES[rule](answer) if rule is not None else None
    signals = {TOKEN_PROBABILITY: probability, STATED: stated(answer)}
    return Exchange(prompt, answer, None if form is None else str(form), signals)


def signals_of(exchanges: Iterable[Exchange]) -> tuple[str, ...]:
    """The signals that at least one of them has: those a policy learnt from them may ask for."""
    told = {name for exchange in exchanges for name, value in exchange.signals.items() if value is not None}
    return tuple(name for name in (TOKEN_PROBABILITY, STATED) if name in told)


def exchange_of(request: CompletionRequest, result: CompletionResult, rule: str | None) -> Exchange:
    """As `answered`, from what a worker holds."""
    return answered(prompt_of(request), result.text, probability_of(result), rule)
