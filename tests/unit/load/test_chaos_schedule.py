"""A seed decides what is done and when."""

from itertools import pairwise

import pytest

from load.chaos.schedule import plan


def test_a_seed_decides_alone():
    assert plan(1, 30, 5.0) == plan(1, 30, 5.0) != plan(2, 30, 5.0)


def test_there_are_as_many_kills_as_were_asked_for_and_other_blows_between():
    blows = plan(3, 100, 5.0)
    assert sum(blow.kind == "kill" for blow in blows) == 100
    assert blows[-1].kind == "kill"
    assert {blow.kind for blow in blows} == {"kill", "freeze", "restart", "forget", "cut"}
    assert {blow.role for blow in blows if blow.kind == "kill"} == {
        "api", "dispatcher", "bulk worker", "interactive worker", "redis", "postgres",
    }  # fmt: skip


def test_moments_rise_and_none_is_near_the_one_before():
    moments = [blow.at for blow in plan(4, 50, 4.0)]
    assert all(later - earlier >= 0.99 for earlier, later in pairwise(moments))


def test_kinds_can_be_chosen_but_not_without_kills():
    assert {blow.kind for blow in plan(5, 20, 1.0, frozenset({"kill", "cut"}))} == {"kill", "cut"}
    with pytest.raises(ValueError, match="kill"):
        plan(5, 20, 1.0, frozenset({"cut"}))
    with pytest.raises(ValueError, match="kill"):
        plan(5, 0, 1.0)
