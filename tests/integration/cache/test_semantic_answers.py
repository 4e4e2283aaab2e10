"""The store of the semantic cache on a real Postgres with pgvector."""

import pytest

from penstock.store import semantic_answers as store
from penstock.store.database import Database
from penstock.store.semantic_answers import Place

PLACE = Place("team-a", b"scope", "fast", "enc")
NEAR, FAR = [1.0, 0.1, 0.0], [0.0, 1.0, 0.0]


@pytest.fixture
async def filled(database: Database) -> Database:
    if not await store.available(database):
        pytest.skip("this server has no pgvector")
    await store.add(database, PLACE, "near", NEAR, b"1", ttl=60, tags=["faq"])
    await store.add(database, PLACE, "far", FAR, b"2", ttl=60)
    return database


async def found(database: Database, place: Place, **options: float) -> list[str]:
    return [one.question for one in await store.nearest(database, place, [1.0, 0.0, 0.0], limit=5, **options)]


async def test_the_nearest_question_comes_first(filled: Database) -> None:
    first, second = await store.nearest(filled, PLACE, [1.0, 0.0, 0.0], limit=5)
    assert (first.question, first.body, second.question) == ("near", b"1", "far")
    assert first.cosine == pytest.approx(0.995, abs=0.001)


@pytest.mark.parametrize(
    "other",
    [
        Place("team-b", b"scope", "fast", "enc"),
        Place("team-a", b"another", "fast", "enc"),
        Place("team-a", b"scope", "fast", "another"),
    ],
)
async def test_nothing_is_found_from_another_tenant_scope_or_encoder(filled: Database, other: Place) -> None:
    assert await found(filled, other) == []


async def test_what_expired_or_is_too_old_is_not_found(filled: Database) -> None:
    await store.add(filled, PLACE, "over", NEAR, b"3", ttl=-1)
    assert await found(filled, PLACE) == ["near", "far"]
    assert await found(filled, PLACE, max_age=0.0) == []
    assert await store.prune(filled) == 1


async def test_answers_are_forgotten_by_tag_model_and_age_and_of_one_tenant_only(filled: Database) -> None:
    assert await store.forget(filled, "team-b", tag="faq") == 0
    assert await store.forget(filled, "team-a", older_than=3600) == 0
    assert await store.forget(filled, "team-a", tag="faq") == 1
    assert await found(filled, PLACE) == ["far"]
    assert await store.forget(filled, "team-a", model="fast") == 1


async def test_vectors_of_several_lengths_stand_side_by_side(filled: Database) -> None:
    other = Place("team-a", b"scope", "fast", "wide")
    await store.add(filled, other, "wide", [1.0, 0.0], b"3", ttl=60)
    assert [one.question for one in await store.nearest(filled, other, [1.0, 0.0], limit=5)] == ["wide"]
    assert await found(filled, PLACE) == ["near", "far"]
