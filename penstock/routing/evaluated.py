"""Evaluated work, and what is to be learnt from it; without the libraries that learning needs."""

from dataclasses import dataclass, field

from penstock.routing.learnt import Kind


@dataclass(slots=True)
class Evaluated:
    """One question and what models made of it, by model.

    `right` is from 0 to 1, `costs` are US dollars of all calls made for the answer, `probabilities` those of the
    answers' tokens on geometric average.
    """

    custom_id: str
    prompt: str | None = None
    right: dict[str, float] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    probabilities: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be learnt: between which models, of which kind, and how answers are compared (`rule`), if they are.

    `beside` is the second cheap model, where the route asks whether two of them agree.
    """

    kind: Kind
    cheap: str
    strong: str
    rule: str | None = None
    beside: str | None = None
