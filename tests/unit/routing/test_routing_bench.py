"""The bench reads any folder of the described files, names no model itself, and says what is missing."""

import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from load import recorded, routing_bench, routing_engine, routing_pairs
from load.recorded import NoData, Task
from load.routing_measure import HeldOut, agreement, learned
from load.routing_pairs import Pair
from load.routing_report import replay_row, row, show_replays
from load.routing_routes import Route, routes_of
from penstock.routing.calibration import Goal
from penstock.routing.router import UNLEARNT
from simulator.recordings import Recordings

LEARNT = Pair("zeroeval", ("small",), "big")
DECLINED = "I am sorry, but I cannot help."


def _write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    with gzip.open(folder / f"{name}.jsonl.gz", "wb") as file:
        file.writelines(orjson.dumps(line) + b"\n" for line in rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models: two cheap ones that are right on even numbers, and a strong one that is always right."""
    draw = np.random.default_rng(0)
    rows = []
    for n in range(240):
        odd = bool(n % 2)
        answers = {"small": str(-n if odd else n), "tiny": str(-n - 1 if odd else n), "big": f"{n}.0", "free": "1"}
        rows.append(
            {
                "id": f"q{n}",
                "task": "gsm",
                "question": f"{'hard' if odd else 'easy'} {' '.join(draw.choice(['a', 'b', 'c'], 6))}",
                "prompt_chars": 400,
                "gold": str(n),
                "answers": answers,
                "correct": {name: int(float(value) == n) for name, value in answers.items()},
                "out_chars": dict.fromkeys(answers, 400),
                "text": {name: f"It is {answers[name]}." for name in ("small", "tiny")},
            }
        )
    del rows[7]["correct"]["tiny"]
    made = tmp_path_factory.mktemp("recorded")
    _write(made, "cascade_zeroeval", rows)
    prices = {"_about": "made up", "small": [0.1, 0.1], "tiny": [0.1, 0.1], "big": [2, 2]}
    (made / "prices.json").write_bytes(orjson.dumps(prices))
    return made


@pytest.fixture(scope="module", params=[False, True], ids=["content", "verifier"])
def held_out(request: pytest.FixtureRequest, folder: Path) -> HeldOut:
    """A policy learnt on three parts of the questions, and what it decides of the fourth."""
    found = learned(_declining(folder), LEARNT, Goal(request.param, target=0.95, resamples=20)).held_out
    assert found is not None
    return found


def _declining(folder: Path) -> Task:
    """The questions, of which the small model declines some that it would be trusted with."""
    task = recorded.load(folder)["zeroeval"]
    for question in range(0, 240, 6):
        task.models["small"].text[question] = DECLINED
    return task


def test_agreement_pays_for_both_and_asks_the_strong_one_where_they_differ(folder: Path) -> None:
    task = recorded.load(folder)["zeroeval"]
    (pair,) = routing_pairs.agreeing(task)
    assert str(pair) == "zeroeval:small+tiny:big"
    found = agreement(task, pair, Goal(resamples=5))
    assert found.questions == 239, "one question was not asked of both"
    decided = found.figures["as_decided"]
    assert decided["quality"] == 1
    assert decided["strong_calls"] == pytest.approx(119 / 239)
    assert decided["cost"] == pytest.approx(0.1 + 119 / 239)


def test_a_learned_policy_finds_the_hard_word(folder: Path) -> None:
    task = recorded.load(folder)["zeroeval"]
    found = learned(task, Pair("zeroeval", ("small",), "big"), Goal(target=0.95, resamples=50))
    assert found.figures["apgr"] > 0.7
    assert found.figures["as_decided"]["quality"] > 0.93
    assert found.figures["as_decided"]["cost"] < 0.7
    assert orjson.loads(orjson.dumps(row(found)))["pair"] == "zeroeval:small:big"


def test_a_learnt_policy_is_replayed_on_questions_that_it_was_not_calibrated_on(
    folder: Path, held_out: HeldOut
) -> None:
    task = _declining(folder)
    assert len(held_out.asked) == 60, "one part of four"
    (route,) = routes_of({"zeroeval": task}, [], [held_out], 30, 0)
    assert len(route.asked) == 30
    assert set(route.asked.items()) <= set(held_out.asked.items())
    verifies = held_out.kind == "verifier"
    exchanges = route.task.exchanges("small", held_out.rule)
    declined = [exchanges[question].answer == DECLINED for question in route.asked]
    for question, asked in route.asked.items():
        # a verifier is not even asked about an answer that declines
        escalated = held_out.artefact.decide(exchanges[question]).escalate or (
            verifies and task.models["small"].text[question] == DECLINED
        )
        assert asked == ((("small", "big") if verifies else ("big",)) if escalated else ("small",))
    assert len(set(route.asked.values())) == 2, "both happen"
    assert any(declined)


def test_a_prompt_that_stands_twice_is_not_replayed(folder: Path) -> None:
    task = recorded.load(folder)["zeroeval"]
    task.prompts[3] = task.prompts[0]
    (route,) = routes_of({"zeroeval": task}, routing_pairs.agreeing(task), [], 1000, 0)
    asked = [task.prompts[int(route.task.ids[question][1:])] for question in route.asked]
    assert task.prompts[0] not in asked
    assert sorted(asked) == sorted(set(asked))


def test_a_provider_says_something_where_no_answer_was_recorded(folder: Path, held_out: HeldOut) -> None:
    task = recorded.load(folder)["zeroeval"]
    for model in task.models.values():
        model.text, model.verdict = [None] * len(task.ids), [None] * len(task.ids)
    rows = list(routing_engine._recorded(routes_of({"zeroeval": task}, [], [held_out], 5, 0)))
    assert len(rows) == 10
    assert all(row["text"] and row["output_tokens"] == 100 for row in rows)


def _job(route: Route, question: int, models: tuple[str, ...], artefact: int | None = 1) -> dict[str, Any]:
    routing = {"artefact": artefact, "reason": "cheap: need 0.1 is below 0.5" if artefact else UNLEARNT}
    return {
        "attempts": [{"deployment": name} for name in models], "cost": route.cost(question), "routing": routing,
    }  # fmt: skip


def _compared(route: Route, jobs: dict[str, Any]) -> routing_engine.Replay:
    (found,) = routing_engine._compared([route], jobs, {name: name for name in route.models})
    return found


def test_what_the_engine_is_asked_is_what_was_computed(folder: Path) -> None:
    task = recorded.load(folder)["zeroeval"]
    (route,) = routes_of({"zeroeval": task}, routing_pairs.agreeing(task), [], 50, 0)
    assert route.settings == {"strategy": "escalation", "accept": {"agreement": "numeric"}}
    assert len(route.asked) == 50
    odd = [question for question in route.asked if int(route.task.ids[question][1:]) % 2]
    assert [question for question, models in route.asked.items() if len(models) == 3] == odd
    rows = list(routing_engine._recorded([route]))
    assert len(Recordings(rows)) == len(rows) == 150, "both cheap models and the strong one, once a question"
    told = Recordings(rows).find("zeroeval/small", route.task.prompts[odd[0]])
    assert told is not None
    assert told.input_tokens == told.output_tokens == 100


def test_another_decision_or_another_cost_of_the_engine_is_told(folder: Path) -> None:
    task = recorded.load(folder)["zeroeval"]
    (route,) = routes_of({"zeroeval": task}, routing_pairs.agreeing(task), [], 20, 0)
    same = {f"route0-{question}": _job(route, question, models) for question, models in route.asked.items()}
    found = _compared(route, same)
    assert (found.questions, found.differences, found.cost) == (20, [], pytest.approx(found.cost_computed))
    assert replay_row(found)["equal"]
    first, second = list(route.asked)[:2]
    same[f"route0-{first}"]["cost"] *= 1.001
    same[f"route0-{second}"] = _job(route, second, ("small",))
    found = _compared(route, same)
    assert ["paid" in found.differences[0], "asked small; computed small, tiny" in found.differences[1]] == [True, True]
    show_replays([found])


def test_the_same_models_for_want_of_what_was_learnt_are_a_difference(folder: Path, held_out: HeldOut) -> None:
    task = recorded.load(folder)["zeroeval"]
    (route,) = routes_of({"zeroeval": task}, [], [held_out], 20, 0)
    same = {f"route0-{question}": _job(route, question, models) for question, models in route.asked.items()}
    assert _compared(route, same).differences == []
    first, models = next(iter(route.asked.items()))
    same[f"route0-{first}"] = _job(route, first, models, artefact=None)
    (difference,) = _compared(route, same).differences
    assert "without what was learnt" in difference
    if held_out.kind == "verifier":
        route.task.models["small"].text[first] = DECLINED
        assert _compared(route, same).differences == [], "no verifier looks at an answer that declines"


@pytest.mark.parametrize(
    ("text", "what"),
    [("zeroeval:small:huge", "no model `huge`"), ("chess:a:b", "no task `chess`"), ("zeroeval:free:big", "no price")],
)
def test_a_pair_that_was_not_recorded_is_named(folder: Path, text: str, what: str) -> None:
    with pytest.raises(NoData, match=what):
        routing_pairs.named(text, recorded.load(folder))


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["routing_bench", "--data", str(tmp_path / "gone")])
    assert routing_bench.main() == 2
    assert "DATA=folder" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["routing_bench", "--data", str(tmp_path)])
    assert routing_bench.main() == 2
    assert "holds none of" in capsys.readouterr().err
