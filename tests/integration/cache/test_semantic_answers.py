"""The store of the semantic cache on a real Postgres with pgvector."""

import pytest

from penstock.broker import Doorbell, make_app
from penstock.configuration import Config
from penstock.providers.deployments import Deployments
from penstock.redis import Redis
from penstock.store import cache_marks
from penstock.store import semantic_answers as store
from penstock.store.cache_marks import Scope
from penstock.store.database import Database
from penstock.store.semantic_answers import NewAnswer, Place, Shadow
from workers.maintenance import Maintenance

PLACE = Place("team-a", b"scope", "fast", "enc")
NEAR, FAR = [1.0, 0.1, 0.0], [0.0, 1.0, 0.0]


@pytest.fixture
async def filled(database: Database) -> Database:
    if not await store.available(database):
        pytest.skip("this server has no pgvector")
    await store.add(database, PLACE, NewAnswer("near", NEAR, b"1", deployment="small", tags=["faq"]), ttl=60)
    await store.add(database, PLACE, NewAnswer("far", FAR, b"2"), ttl=60)
    return database


async def found(database: Database, place: Place, **options: float) -> list[str]:
    return [one.question for one in await store.nearest(database, place, [1.0, 0.0, 0.0], limit=5, **options)]


async def test_the_nearest_question_comes_first(filled: Database) -> None:
    first, second = await store.nearest(filled, PLACE, [1.0, 0.0, 0.0], limit=5)
    assert (first.question, await store.body(filled, first.id), second.question) == ("near", b"1", "far")
    assert list(first.vector) == pytest.approx(NEAR)
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
    await store.add(filled, PLACE, NewAnswer("over", NEAR, b"3"), ttl=-1)
    assert await found(filled, PLACE) == ["near", "far"]
    assert await found(filled, PLACE, max_age=0.0) == []
    assert await store.prune(filled, 1000) == 1


async def removed(database: Database, scope: Scope, **options: float) -> int:
    return (await cache_marks.invalidate(database, scope, **options)).removed


async def test_answers_are_invalidated_by_tag_model_and_age_and_of_one_tenant_only(filled: Database) -> None:
    assert await removed(filled, Scope("team-b", tag="faq")) == 0
    assert await removed(filled, Scope("team-a"), older_than=3600) == 0
    assert await removed(filled, Scope("team-a", "other", "faq")) == 0
    assert await removed(filled, Scope("team-a", "fast", "faq")) == 1
    assert await found(filled, PLACE) == ["far"]
    assert await removed(filled, Scope("team-a", "fast")) == 1


@pytest.mark.parametrize("scope", [Scope("team-a", "small"), Scope("", "small"), Scope("", tag="faq")])
async def test_an_answer_belongs_to_both_names_of_its_model_and_the_operator_means_all(
    filled: Database, scope: Scope
) -> None:
    assert await removed(filled, scope) == 1
    assert await found(filled, PLACE) == ["far"]


async def test_an_answer_whose_call_began_before_an_invalidation_does_not_enter_after_it(filled: Database) -> None:
    await cache_marks.invalidate(filled, Scope("team-a", tag="prices"))
    late = NewAnswer("late", NEAR, b"3", tags=["prices", "b"], age=30)
    assert not await store.add(filled, PLACE, late, ttl=60)
    assert await store.add(filled, PLACE, NewAnswer("untagged", NEAR, b"3", age=30), ttl=60)
    assert await store.add(filled, PLACE, NewAnswer("later", NEAR, b"3", tags=["prices"]), ttl=60)
    assert set(await found(filled, PLACE)) == {"near", "far", "untagged", "later"}


async def test_the_oldest_beyond_a_tenants_share_are_removed(filled: Database) -> None:
    other = Place("team-b", b"scope", "fast", "enc")
    await store.add(filled, other, NewAnswer("theirs", NEAR, b"3"), ttl=60)
    assert await store.prune(filled, 1) == 1
    assert (await found(filled, PLACE), await found(filled, other)) == (["far"], ["theirs"])


async def test_notes_of_shadows_are_bounded_by_age_and_number(filled: Database) -> None:
    for asked in ("one", "two", "three"):
        await store.note_shadow(filled, PLACE, Shadow(asked))
    await store.note_shadow(filled, PLACE, Shadow("four", "near", 0.9, 0.5))
    assert await store.prune_shadows(filled, older_than=3600, most=2) == 2
    assert await store.shadows(filled, "team-a", "fast", "enc") == [Shadow("three"), Shadow("four", "near", 0.9, 0.5)]
    assert await store.prune_shadows(filled, older_than=-1, most=2) == 2


async def test_vectors_of_several_lengths_stand_side_by_side(filled: Database) -> None:
    other = Place("team-a", b"scope", "fast", "wide")
    await store.add(filled, other, NewAnswer("wide", [1.0, 0.0], b"3"), ttl=60)
    assert [one.question for one in await store.nearest(filled, other, [1.0, 0.0], limit=5)] == ["wide"]
    assert await found(filled, PLACE) == ["near", "far"]


async def test_the_sweep_keeps_to_the_bounds_of_the_configuration(filled: Database, redis: Redis) -> None:
    semantic = {"max_answers": 1, "max_shadows": 1, "ttl_seconds": 60}
    config = Config.model_validate({"cache": {"ttl": 60, "semantic": semantic}})
    await cache_marks.invalidate(filled, Scope("team-a", tag="new"))
    await cache_marks.invalidate(filled, Scope("team-a", tag="old"), older_than=2 * 86_400)
    for asked in ("one", "two"):
        await store.note_shadow(filled, PLACE, Shadow(asked))
    doorbell = Doorbell(make_app("memory://", ["p"]))
    await Maintenance(filled, redis, doorbell, Deployments(config), config).prune_cache()
    doorbell.close()
    assert await found(filled, PLACE) == ["far"]
    assert await store.shadows(filled, "team-a", "fast", "enc") == [Shadow("two")]
    assert [mark.scope.tag for mark in await cache_marks.load(filled)] == ["new"]
