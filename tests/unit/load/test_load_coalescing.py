"""A call made again is only excused by the death of the worker that made the one before."""

from typing import Any

from load.coalescing import Death, Repeats, explain, lines

DEATH = Death(at=100.0, ports=frozenset({1, 2}))


def call(asked: str, came: float, ended: float | None, port: int = 1) -> dict[str, Any]:
    return {"asked": asked, "came": came, "ended": ended, "port": port}


def test_what_was_under_way_in_the_worker_that_died_is_excused():
    calls = [call("a", 99, None), call("a", 105, 106, 9), call("b", 99, 100.5, 2), call("b", 105, 106, 9)]
    assert explain(calls, DEATH) == Repeats(2, 0, [])


def test_a_request_that_the_provider_read_after_the_death_was_sent_before_it():
    assert explain([call("a", 100.5, None), call("a", 105, 106, 9)], DEATH) == Repeats(1, 0, [])
    assert explain([call("a", 100.5, 101), call("a", 108, 109, 9)], DEATH) == Repeats(1, 0, [])
    assert explain([call("a", 106, 107), call("a", 108, 109, 9)], DEATH).unexplained == ["a"]


def test_an_answer_of_its_last_moment_may_not_have_been_kept():
    assert explain([call("a", 99, 99.875), call("a", 105, 106, 9)], DEATH) == Repeats(0, 1, [], oldest=0.125)
    assert explain([call("a", 90, 91), call("a", 105, 106, 9)], DEATH) == Repeats(0, 0, ["a"])


def test_an_answer_that_lay_unread_was_under_way():
    calls = [call("b", 80, 81, 1), call("a", 90, 91, 1), call("a", 105, 106, 9), call("b", 105, 106, 9)]
    assert explain(calls, Death(100.0, frozenset({1}), unread=frozenset({1}))) == Repeats(1, 0, ["b"])


def test_nothing_else_is_excused():
    elsewhere = [call("a", 99, None, 7), call("a", 105, 106, 9)]
    assert explain(elsewhere, DEATH).unexplained == ["a"]
    assert explain([call("a", 99, None), call("a", 105, 106)], None).unexplained == ["a"]
    taken_over_twice = [call("a", 99, None), call("a", 105, 106, 9), call("a", 107, 108, 8)]
    assert explain(taken_over_twice, DEATH) == Repeats(1, 0, ["a"])


def test_lines_hold_every_question_and_no_other():
    _, questions = lines(100, 70)
    assert len(questions) == 100
    assert set(questions.values()) == {f"What of {number}?" for number in range(70)}
