"""When work will be done, by arithmetic alone."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.fairness import Contender, share
from penstock.rules.forecast import Mean, Prospect, Shares, Supply, Waiting, Work, must_hurry, seconds_for

works = st.builds(Work, st.integers(1, 1000), st.integers(1, 100_000))
weights = st.floats(0.1, 10)
waiting = st.lists(st.builds(Waiting, works, weights), max_size=6)
supplies = st.lists(
    st.builds(
        Supply, st.sampled_from(["requests", "tokens", "input", "output"]), st.floats(-1e3, 1e5), st.floats(0.1, 1e4)
    ),
    min_size=1,
    max_size=4,
)


def served_by_then(mine: Work, weight: float, others: list[Waiting], own: Work | None = None) -> Work:
    """`mine` is the first of what flow 0 has: all of it, unless `own` is given."""
    flows = dict(enumerate([Waiting(own or mine, weight), *others]))
    return Shares(flows).served_by_then(0, mine, weight)


def test_alone_only_the_own_work_counts():
    assert served_by_then(Work(10, 1000), 1, []) == Work(10, 1000)


def test_equal_weights_share_and_a_small_other_only_adds_itself():
    mine = Work(10, 1000)
    for other, all_served in (
        (Waiting(Work(1000, 100_000), 1), (20, 2000)),
        (Waiting(Work(2, 200), 1), (12, 1200)),
        (Waiting(Work(1000, 100_000), 3), (40, 4000)),
    ):
        got = served_by_then(mine, 1, [other])
        assert (got.requests, got.tokens) == pytest.approx(all_served)


def test_the_scarcest_supply_decides_and_what_is_at_hand_costs_no_time():
    work, mean = Work(100, 30_000), Mean(token_ratio=0.5, input_share=0.8)
    assert seconds_for(work, [Supply("requests", 40, 2)], mean) == 30
    assert seconds_for(work, [Supply("tokens", 5000, 100)], mean) == 100
    assert seconds_for(work, [Supply("input", 0, 100)], mean) == pytest.approx(120)
    assert seconds_for(work, [Supply("output", 0, 100)], mean) == pytest.approx(30)
    assert seconds_for(work, [Supply("requests", 40, 2), Supply("tokens", 5000, 100)], mean) == 100
    assert seconds_for(work, [Supply("requests", 200, 2)], mean) == 0


def test_what_nothing_limits_is_not_known_and_what_never_comes_never_ends():
    assert seconds_for(Work(1, 1), [], Mean()) is None
    assert seconds_for(Work(2, 1), [Supply("requests", 0, 0)], Mean()) == math.inf
    assert seconds_for(Work(2, 1), [Supply("requests", 2, 0)], Mean()) == 0


@given(works, weights, waiting)
def test_the_own_work_is_served_and_never_more_than_all(mine: Work, weight: float, others: list[Waiting]):
    total = served_by_then(mine, weight, others)
    everything = sum((other.work for other in others), mine)
    assert mine.tokens * (1 - 1e-9) <= total.tokens <= everything.tokens * (1 + 1e-9)
    assert mine.requests * (1 - 1e-9) <= total.requests <= everything.requests * (1 + 1e-9)


@given(works, weights, waiting, st.floats(0.01, 1))
def test_each_other_flow_gets_its_share_of_what_it_has(own: Work, weight: float, others: list[Waiting], part: float):
    """The sums that are kept come to what a walk over all flows comes to."""
    mine = own * part
    expected = mine
    for other in others:
        expected += other.work * min(1.0, mine.tokens / weight * other.weight / other.work.tokens)
    got = served_by_then(mine, weight, others, own)
    assert got.tokens == pytest.approx(expected.tokens)
    assert got.requests == pytest.approx(expected.requests)


@given(works, weights, waiting, supplies, st.floats(1.0, 10))
def test_more_work_and_less_weight_never_make_it_sooner(
    mine: Work, weight: float, others: list[Waiting], limits: list[Supply], factor: float
):
    def seconds(work: Work, weight: float) -> float:
        found = seconds_for(served_by_then(work, weight, others), limits, Mean())
        assert found is not None
        return found

    before = seconds(mine, weight)
    assert seconds(mine * factor, weight) >= before - 1e-6 * (1 + before)
    assert seconds(mine, weight / factor) >= before - 1e-6 * (1 + before)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40), weights), min_size=1, max_size=5))
def test_it_agrees_with_the_queue_that_it_speaks_of(flows: list[tuple[int, int, float]]):
    """Fair queueing, played job by job, has served as much as the formula says when the first flow's work ends."""
    left = [count for count, _, _ in flows]
    clocks, served = [0.0] * len(flows), 0
    while left[0]:
        members = [index for index, count in enumerate(left) if count]
        contenders = [Contender(clocks[i], flows[i][2], flows[i][1], left[i]) for i in members]
        # one job at a time: what a quantum adds is not the matter here
        counts = share(contenders, 1, 1)
        index = members[counts.index(1)]
        left[index] -= 1
        served += flows[index][1]
        clocks[index] += flows[index][1] / flows[index][2]
    count, tokens, weight = flows[0]
    others = [Waiting(Work(n, n * each), w) for n, each, w in flows[1:]]
    expected = served_by_then(Work(count, count * tokens), weight, others).tokens
    # each flow is off by less than two of its jobs, and by what a job of the first is worth to it
    slack = sum(2 * each + tokens / weight * w for _, each, w in flows)
    assert abs(served - expected) <= slack


@pytest.mark.parametrize(
    ("left", "in_turn", "if_first", "hurries"),
    [
        (3600, 60, 60, False),  # nothing to fear
        (3600, 3590, 60, True),  # it would be just in time, if all went well
        (3600, 9000, 600, True),  # late in its turn, in time if it goes first
        (3600, 9000, 8000, False),  # it cannot be helped, and others would wait
        (60, 70, 65, True),  # a little late: as much as can be is saved
        (10, 1, 1, False),  # nearly done
        (60, 70, 70, False),  # it is the first already
        (-5, 10, 10, False),  # over
    ],
)
def test_what_hurries(left: float, in_turn: float, if_first: float, hurries: bool):
    assert must_hurry(Prospect(left, in_turn, if_first)) is hurries


@given(st.floats(1, 1e5), st.floats(0, 1e6), st.floats(0, 1e6))
def test_what_cannot_meet_its_window_anyhow_does_not_push_others_back(left: float, in_turn: float, if_first: float):
    if must_hurry(Prospect(left, in_turn, if_first)):
        assert if_first <= 1.5 * left
        assert in_turn > 0.5 * left - 16
