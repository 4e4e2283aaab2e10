"""Versions of learnt policies: kept for ever, at most one of a route active, the same everywhere within seconds."""

import asyncio

import pytest

from penstock.configuration import RouteConfig
from penstock.routing.artefact import Artefact
from penstock.routing.difficulty import LearnedScore
from penstock.routing.learnt import LearntPolicies, LearntPolicy
from penstock.store import artefacts
from penstock.store.database import Database

ROUTES = {"smart": RouteConfig(strategy="escalation", steps=["cheap", "strong"])}


def document(threshold: float, strong: str = "strong") -> dict[str, object]:
    score = LearnedScore(False, {}, {}, {}, (0.1, 0.1, 0.0))
    artefact = Artefact(0.99, threshold, 0.5, 0.0, score, {"saves": True})
    return LearntPolicy("content", "cheap", strong, artefact).to_json()


async def add(database: Database, content: dict[str, object], *, activate: bool = True) -> int:
    report = {"saves": True}
    return await artefacts.add(database, "smart", content, report, made_by="team", activate=activate)


async def test_versions_count_up_and_the_newest_comes_first(database: Database):
    assert [await add(database, document(0.1)), await add(database, document(0.2), activate=False)] == [1, 2]
    await artefacts.add(database, "other", document(0.3), {}, made_by="x", note="why", activate=False)
    rows = await artefacts.versions(database, "smart")
    assert [(row.version, row.active, row.made_by, row.report) for row in rows] == [
        (2, False, "team", {"saves": True}),
        (1, True, "team", {"saves": True}),
    ]
    assert await artefacts.document(database, "smart", 2) == document(0.2)
    assert await artefacts.document(database, "smart", 3) is None


async def test_going_back_and_going_without(database: Database):
    for threshold in (0.1, 0.2):
        await add(database, document(threshold))
    assert await artefacts.active(database) == {"smart": 2}
    assert await artefacts.activate(database, "smart", 1)
    assert await artefacts.active(database) == {"smart": 1}
    assert not await artefacts.activate(database, "smart", 9)
    assert await artefacts.active(database) == {"smart": 1}
    assert await artefacts.activate(database, "smart", None)
    assert await artefacts.active(database) == {}


async def test_two_calibrations_at_once_take_two_numbers_and_one_is_active(database: Database):
    found = await asyncio.gather(*(add(database, document(n / 10)) for n in range(1, 9)))
    assert sorted(found) == list(range(1, 9))
    assert sum(row.active for row in await artefacts.versions(database, "smart")) == 1


async def test_a_process_follows_what_is_active(database: Database):
    learnt = LearntPolicies.stored(ROUTES, database)
    await learnt.refresh()
    assert learnt.get("smart") is None
    await add(database, document(0.1))
    await add(database, document(0.2))
    await learnt.refresh()
    policy = learnt.policy("smart")
    assert policy is not None
    assert (policy.version, policy.artefact.threshold, policy.strong) == (2, 0.2, "strong")
    await artefacts.activate(database, "smart", 1)
    await learnt.refresh()
    assert learnt.get("smart").threshold == 0.1
    await artefacts.activate(database, "smart", None)
    await learnt.refresh()
    assert learnt.get("smart") is None


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (document(0.1, strong="gone"), "`gone`"),
        ({**document(0.1), "kind": "oracle"}, "`kind`"),
        ({**document(0.1), "artefact": {"format": 99}}, "format"),
        ({**document(0.1), "kind": "verifier"}, "verifier"),
        ({**document(0.1), "rule": "by feel"}, "`rule`"),
        ({**document(0.1), "baseline": {"need_edges": [1, "2"]}}, "need_edges"),
        ({**document(0.1), "baseline": {"need_edges": list(range(9, 0, -1))}}, "need_edges"),
        ({**document(0.1), "baseline": {"same": "most"}}, "baseline.same"),
    ],
)
async def test_what_cannot_be_used_is_said_and_the_route_works_without(
    database: Database, content: dict[str, object], word: str
):
    learnt = LearntPolicies.stored(ROUTES, database)
    await add(database, document(0.1))
    await learnt.refresh()
    await add(database, content)
    await learnt.refresh()
    assert learnt.get("smart") is None
    assert "version 2 is not used" in learnt.problems["smart"]
    assert word in learnt.problems["smart"]
    await artefacts.activate(database, "smart", 1)
    await learnt.refresh()
    assert learnt.get("smart") is not None
    assert learnt.problems == {}
