"""How well the guard's checks find what they should: precision and recall on the labelled texts of load/data.

    .venv/bin/python -m load.guard            # the table of docs/guard.md
    .venv/bin/python -m load.guard --errors   # and every text on which a check is wrong

A span counts as found when its kind is right and it begins and ends where the label does. A prompt injection is a
whole text. Rules and texts were written by the same people, so the figures say what to expect at best.
"""

import argparse
import json
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from penstock.guard.findings import TextCheck
from penstock.guard.injection import InjectionCheck
from penstock.guard.personal_data import PersonalDataCheck
from penstock.guard.secrets import SecretsCheck

TEXTS = Path(__file__).parent / "data" / "guard_texts.txt"
RESULTS = Path(__file__).parent / "results"
_LABEL = re.compile(r"⟦(\w+)(?::(.*?))?⟧", re.DOTALL)
_INJECTION = "prompt_injection"
_SECRETS = "secrets"
_PERSONAL = ("email", "phone", "card", "iban", "national_id")
Span = tuple[int, int]


@dataclass
class Text:
    text: str
    labels: dict[str, set[Span]]


@dataclass
class Score:
    right: int = 0
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float | None:
        return self.right / (self.right + len(self.wrong)) if self.right or self.wrong else None

    @property
    def recall(self) -> float | None:
        return self.right / (self.right + len(self.missed)) if self.right or self.missed else None


def read_texts() -> list[Text]:
    lines = [line for line in TEXTS.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return [_read(line.replace("·", "").replace("\\n", "\n")) for line in lines]


def _read(line: str) -> Text:
    text, at, labels = "", 0, defaultdict[str, set[Span]](set)
    for match in _LABEL.finditer(line):
        text += line[at : match.start()]
        kind, inner, at = match[1], match[2] or "", match.end()
        span = (0, -1) if kind == _INJECTION else (len(text), len(text) + len(inner))
        labels[kind if kind == _INJECTION or kind in _PERSONAL else f"{_SECRETS}:{kind}"].add(span)
        text += inner
    return Text(text + line[at:], labels)


def checks() -> dict[str, TextCheck]:
    return {
        "personal_data": PersonalDataCheck(_PERSONAL, ["DE", "US", "GB"]),
        _SECRETS: SecretsCheck(),
        _INJECTION: InjectionCheck(1.0),
    }


def judge(texts: list[Text]) -> tuple[dict[str, Score], dict[str, float]]:
    """The score of each kind, and the microseconds of each check for a text."""
    scores: dict[str, Score] = defaultdict(Score)
    spent: dict[str, float] = defaultdict(float)
    for text in texts:
        for name, check in checks_once().items():
            began = time.perf_counter()
            spans = check.find(text.text)
            spent[name] += time.perf_counter() - began
            found: dict[str, set[Span]] = defaultdict(set)
            for span in spans:
                kind = f"{_SECRETS}:{span.kind}" if name == _SECRETS else span.kind
                found[kind].add((0, -1) if name == _INJECTION else (span.start, span.end))
            for kind in found.keys() | {kind for kind in text.labels if _belongs(kind, name)}:
                score = scores[_SECRETS if name == _SECRETS else kind]
                score.right += len(found[kind] & text.labels[kind])
                score.wrong += [f"{kind}: {_shown(text.text, span)}" for span in found[kind] - text.labels[kind]]
                score.missed += [f"{kind}: {_shown(text.text, span)}" for span in text.labels[kind] - found[kind]]
    return scores, {name: seconds / len(texts) * 1e6 for name, seconds in spent.items()}


def checks_once(made: dict[str, TextCheck] = {}) -> dict[str, TextCheck]:  # noqa: B006 - made once
    if not made:
        made.update(checks())
    return made


def _belongs(kind: str, check: str) -> bool:
    return kind.partition(":")[0] == check or (check == "personal_data" and kind in _PERSONAL)


def _shown(text: str, span: Span) -> str:
    return repr(text if span == (0, -1) else f"{text[max(0, span[0] - 20) : span[0]]}>>{text[slice(*span)]}<<")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--errors", action="store_true", help="show every mistake")
    options = parser.parse_args()
    texts = read_texts()
    judge(texts)  # numbering plans are loaded when they are first asked for
    scores, spent = judge(texts)
    rows = {}
    print("| kind | labelled | found right | found wrong | missed | precision | recall |")
    print("|---|---|---|---|---|---|---|")
    for kind, score in sorted(scores.items()):
        labelled = score.right + len(score.missed)
        rows[kind] = {
            "labelled": labelled,
            "right": score.right,
            "wrong": len(score.wrong),
            "missed": len(score.missed),
        }
        shares = [f"{share:.2f}" if share is not None else "–" for share in (score.precision, score.recall)]
        print(
            f"| {kind} | {labelled} | {score.right} | {len(score.wrong)} | {len(score.missed)} | {' | '.join(shares)} |"
        )
    mean = sum(len(text.text) for text in texts) / len(texts)
    print(f"\n{len(texts)} texts of {mean:.0f} characters on average; µs a text:", end=" ")
    print(", ".join(f"{name} {micros:.0f}" for name, micros in spent.items()))
    if options.errors:
        for kind, score in sorted(scores.items()):
            for title, mistakes in (("wrong", score.wrong), ("missed", score.missed)):
                for mistake in mistakes:
                    print(f"{kind} {title}: {mistake}")
    result = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "texts": len(texts), "kinds": rows, "microseconds": spent}
    (RESULTS / f"{result['date']}-guard.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
