"""Fair shares, over many turns."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.fairness import Contender, rejoin, share

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
