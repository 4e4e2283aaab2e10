"""The bench reads any folder of the described files, names no model itself, and says what is missing."""

import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from load import recorded, routing_bench, routing_engine, routing_pairs
from load.recorded import NoData
from load.routing_measure import agreement, learned
from load.routing_pairs import Pair
from load.routing_report import replay_row, row, show_replays
from penstock.routing.calibration import Goal
from simulator.recordings import Recordings


def _write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    with gzip.open(folder / f"{name}.jsonl.gz", "wb") as file:
        file.writelines(orjson.dumps(line) + b"\n" for line in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
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
    _write(tmp_path, "cascade_zeroeval", rows)
    prices = {"_about": "made up", "small": [0.1, 0.1], "tiny": [0.1, 0.1], "big": [2, 2]}
    (tmp_path / "prices.json").write_bytes(orjson.dumps(prices))
    return tmp_path


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


def _job(route: routing_engine.Route, question: int, models: list[str]) -> dict[str, Any]:
    return {"routing": {"steps": [{"deployment": name} for name in models]}, "cost": route.cost(question)}


def test_what_the_engine_is_asked_is_what_was_computed(folder: Path) -> None:
    task = recorded.load(folder)["zeroeval"]
    (pair,) = routing_pairs.agreeing(task)
    (route,) = routing_engine.routes_of({"zeroeval": task}, [pair], 50, 0)
    assert route.accept == {"agreement": "numeric"}
    assert len(set(route.questions)) == 50
    odd = [question for question in route.questions if int(route.task.ids[question][1:]) % 2]
    assert [question for question in route.questions if len(route.expected(question)) == 3] == odd
    rows = list(routing_engine._recorded([route]))
    assert len(Recordings(rows)) == len(rows) == 150, "both cheap models and the strong one, once a question"
    told = Recordings(rows).find("zeroeval/small", route.task.prompts[odd[0]])
    assert told is not None
    assert told.input_tokens == told.output_tokens == 100


def test_another_decision_or_another_cost_of_the_engine_is_told(folder: Path) -> None:
    task = recorded.load(folder)["zeroeval"]
    (route,) = routing_engine.routes_of({"zeroeval": task}, routing_pairs.agreeing(task), 20, 0)
    same = {f"route0-{question}": _job(route, question, route.expected(question)) for question in route.questions}
    names = {name: name for name in (*route.pair.cheap, route.pair.strong)}
    (found,) = routing_engine._compared([route], same, names)
    assert (found.questions, found.differences, found.cost) == (20, [], pytest.approx(found.cost_computed))
    assert replay_row(found)["equal"]
    first, second = route.questions[:2]
    same[f"route0-{first}"]["cost"] *= 1.001
    same[f"route0-{second}"] = _job(route, second, ["small"])
    (found,) = routing_engine._compared([route], same, names)
    assert ["paid" in found.differences[0], "asked ['small']" in found.differences[1]] == [True, True]
    show_replays([found])


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
