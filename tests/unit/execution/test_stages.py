"""Where a job stands on its route."""

from datetime import UTC, datetime
from typing import Any

import pytest

from penstock.completion.encoding import dumps
from penstock.execution.stages import Ahead, ahead_of, allows, may_see
from penstock.ids import new_id
from penstock.store.jobs import ClaimedJob

STAGED = {"order": ["a", "b", "c", "d"], "escalation": "smart", "stages": [["a", "b"], ["c"]]}


def job(deployment: str, fallback: list[str] | None, routing: dict[str, Any] | None) -> ClaimedJob:
    return ClaimedJob(
        id=new_id(), epoch=1, tenant_id="t", tier="unlimited", batch_id=None, custom_id=None, dialect="openai.chat",
        model="m", lane="bulk", deployment=deployment, tokens=1, fallback=fallback, failures=0, route_step=0,
        background=False, stream=False, created_at=datetime.now(UTC), body=b"{}",
        routing=dumps(routing) if routing is not None else None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("deployment", "left", "routing", "found"),
    [
        ("a", ["b", "c", "d"], STAGED, Ahead("smart", (("c",),))),
        ("b", ["c", "d"], STAGED, Ahead("smart", (("c",),))),
        ("c", ["d"], STAGED, Ahead("smart")),
        ("d", None, STAGED, Ahead("smart")),
        ("a", ["c", "d"], {**STAGED, "stages": [["a"], ["b"], ["c", "d"]]}, Ahead("smart", (("c", "d"),))),
        ("a", ["b"], {"order": ["a", "b"]}, Ahead(None)),
        ("a", ["b", "c"], None, Ahead("m", (("b",), ("c",)))),
    ],
)
def test_who_is_asked_when_an_answer_is_not_trusted(
    deployment: str, left: list[str] | None, routing: dict[str, Any] | None, found: Ahead
) -> None:
    assert ahead_of(job(deployment, left, routing)) == found


def test_a_deployment_that_was_never_found_fit_may_not_serve() -> None:
    assert allows(job("a", None, None), "a")
    assert allows(job("a", None, STAGED), "d")
    assert not allows(job("new", ["a"], STAGED), "new")


def test_an_answer_is_seen_by_those_that_may_serve_it_and_by_its_judge() -> None:
    judged = job("a", None, {**STAGED, "judges": ["j"]})
    assert (may_see(judged, "a"), may_see(judged, "j"), may_see(judged, "x")) == (True, True, False)
    assert not allows(judged, "j")
    assert may_see(job("a", None, None), "x")
