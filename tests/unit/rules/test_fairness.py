"""Fair shares, over many turns."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.fairness import Contender, Turns, rejoin, share

weights = st.lists(st.floats(0.1, 10), min_size=1, max_size=8)


def serve(weights: list[float], tokens: list[float], turns: int, slots: int) -> list[float]:
    """Tokens each flow got when all always have work."""
    clocks = [0.0] * len(weights)
    got = [0.0] * len(weights)
    for _ in range(turns):
        counts = share([Contender(c, w, t) for c, w, t in zip(clocks, weights, tokens, strict=True)], slots)
        for index, count in enumerate(counts):
            got[index] += count * tokens[index]
            clocks[index] += count * tokens[index] / weights[index]
    return got


@given(weights, st.integers(0, 200))
def test_all_slots_are_used_while_anybody_wants_them(weights: list[float], slots: int):
    assert sum(share([Contender(0, w, 100) for w in weights], slots)) == slots


@given(weights, st.data())
def test_over_time_each_gets_tokens_by_weight(weights: list[float], data: st.DataObject):
    tokens = [data.draw(st.floats(10, 1000)) for _ in weights]
    got = serve(weights, tokens, 60, 50)
    shares = [g / w for g, w in zip(got, weights, strict=True)]
    # nobody is ahead of another by more than its own last quantum
    assert max(shares) - min(shares) <= 2 * max(5 * t / w for t, w in zip(tokens, weights, strict=True)) + 1e-6


def test_ten_jobs_do_not_wait_behind_a_million():
    newcomer = Contender(rejoin(0.0, 1e9), 1.0, 100)
    crowd = Contender(1e9, 1.0, 100)
    assert share([crowd, newcomer], 20) == [10, 10]


def test_an_idle_flow_brings_no_credit():
    assert rejoin(5.0, 100.0) == 100.0
    assert rejoin(200.0, 100.0) == 200.0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 9), st.floats(0, 100)),
            st.tuples(st.just("drop"), st.integers(0, 9), st.none()),
            st.tuples(st.just("draw"), st.integers(0, 4), st.none()),
        ),
        max_size=200,
    )
)
def test_turns_come_in_order_whatever_was_moved_or_dropped(steps: list[tuple[str, int, float | None]]):
    turns = Turns()
    known: dict[int, float] = {}
    for what, number, time in steps:
        if what == "put":
            assert time is not None
            turns.put(number, time)
            known[number] = time
        elif what == "drop":
            turns.drop(number)
            known.pop(number, None)
        else:
            drawn = turns.draw(number)
            expected = sorted(known, key=lambda flow: (known[flow], flow))[:number]
            assert drawn == expected
            for flow in drawn:
                del known[flow]
        assert len(turns) == len(known)


def test_turns_that_are_moved_a_million_times_take_no_more_room():
    turns = Turns()
    for number in range(10_000):
        turns.put(number % 7, float(number))
    assert len(turns._heap) < 200
