"""Which answers are asked of the strong model too: a share of jobs, the same however often a job is done."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from unit.routing.test_judges import result, verifier

from penstock.configuration import RouteConfig
from penstock.execution.shadow import drawn, sample
from penstock.ids import new_id

ROUTE = RouteConfig(strategy="escalation", steps=["cheap", "strong"], shadow=1.0)


@given(st.uuids(), st.floats(0, 1), st.floats(0, 1))
def test_who_is_in_a_share_is_in_any_greater_one(job_id: UUID, one: float, other: float):
    low, high = sorted((one, other))
    assert drawn(job_id, low) <= drawn(job_id, high)
    assert (drawn(job_id, 0.0), drawn(job_id, 1.0)) == (False, True)


def test_about_the_share_is_drawn():
    assert 120 < sum(drawn(new_id(), 0.2) for _ in range(1000)) < 280


def test_answers_of_the_strong_model_and_empty_ones_are_no_samples():
    found = sample(new_id(), "smart", ROUTE, None, "cheap", result("42"))
    assert found is not None
    assert (found.strong, found.rule, found.version, found.answer) == ("strong", "text", 0, "42")
    assert sample(new_id(), "smart", ROUTE, None, "strong", result("42")) is None
    assert sample(new_id(), "smart", ROUTE, None, "cheap", result(" ")) is None
    learnt = sample(new_id(), "smart", ROUTE, verifier(0.5), "cheap", result("42"))
    assert learnt is not None
    assert learnt.version == 3
