"""What the simulated prompt cache keeps, for how long, and from when on."""

from typing import Any

import pytest

from simulator.prompt_cache import CacheUse, PromptCache, bedrock_prefixes, prefixes_of
from simulator.refusal import RefusalError

LONG = "lore " * 1000
MARK = {"cache_control": {"type": "ephemeral"}}


def body(question: str, system: str = LONG, **mark: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "system": [{"type": "text", "text": system, **mark}],
        "messages": [{"role": "user", "content": question}],
    }


def test_the_second_call_reads_what_the_first_wrote() -> None:
    cache = PromptCache()
    assert cache.use(prefixes_of(body("a", **MARK)), 0, 1) == CacheUse(0, 1250)
    assert cache.use(prefixes_of(body("b", **MARK)), 2, 3) == CacheUse(1250, 0)


def test_calls_side_by_side_write_it_each_for_itself() -> None:
    cache = PromptCache()
    cache.use(prefixes_of(body("a", **MARK)), 0, 1)
    assert cache.use(prefixes_of(body("b", **MARK)), 0.5, 1.5) == CacheUse(0, 1250)


def test_an_entry_lives_five_minutes_from_its_last_use() -> None:
    cache = PromptCache()
    cache.use(prefixes_of(body("a", **MARK)), 0, 0)
    assert cache.use(prefixes_of(body("b", **MARK)), 299, 299).read == 1250
    assert cache.use(prefixes_of(body("c", **MARK)), 598, 598).read == 1250
    assert cache.use(prefixes_of(body("d", **MARK)), 900, 900) == CacheUse(0, 1250)


@pytest.mark.parametrize("made", [body("a"), body("a", "short", **MARK)])
def test_nothing_is_kept_without_a_mark_or_under_the_least_size(made: dict[str, Any]) -> None:
    cache = PromptCache()
    assert cache.use(prefixes_of(made), 0, 0) == CacheUse() == cache.use(prefixes_of(made), 1, 1)


def test_another_prefix_is_not_read() -> None:
    cache = PromptCache()
    cache.use(prefixes_of(body("a", **MARK)), 0, 0)
    assert cache.use(prefixes_of(body("a", LONG + "x", **MARK)), 1, 1).read == 0


def test_a_fifth_mark_is_refused() -> None:
    made = body("a")
    made["system"] = [{"type": "text", "text": "x", **MARK}] * 5
    with pytest.raises(RefusalError):
        prefixes_of(made)


POINT = {"cachePoint": {"type": "default"}}


def converse(question: str, *, marked: bool = True) -> dict[str, Any]:
    system = [{"text": "x" * 5000}, *([POINT] if marked else [])]
    return {"system": system, "messages": [{"role": "user", "content": [{"text": question}]}]}


def test_bedrocks_marks_do_the_same() -> None:
    cache = PromptCache()
    written = cache.use(bedrock_prefixes(converse("a"), "m"), 0, 1)
    assert (written.read, written.written >= 1000) == (0, True)
    assert cache.use(bedrock_prefixes(converse("b"), "m"), 2, 3) == CacheUse(written.written, 0)
    assert cache.use(bedrock_prefixes(converse("c"), "other"), 2, 3).read == 0
    assert cache.use(bedrock_prefixes(converse("d", marked=False), "m"), 4, 5) == CacheUse()


def test_bedrock_refuses_marks_that_keep_nothing_or_are_too_many() -> None:
    many = [{"text": "x"}, POINT] * 5
    for system in ([POINT, {"text": "x"}], many, [{"text": "x"}, {"cachePoint": {"type": "other"}}]):
        with pytest.raises(RefusalError):
            bedrock_prefixes({"system": system}, "m")
