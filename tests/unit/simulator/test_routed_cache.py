"""What a vendor keeps by itself: by machine, and a machine by the prompt's beginning and its key."""

from simulator.routed_cache import PER_MINUTE, RoutedCache

COMMON = "one preamble for all. " * 60  # longer than what a machine is chosen by
LORE = {name: f"{COMMON}{name} " * 4 for name in ("river", "lake", "sea", "rain")}


def asked(cache: RoutedCache, name: str, question: str, at: float, key: str | None = None) -> int:
    return cache.read("m", LORE[name] + question, key, at, at + 0.5)


def test_the_second_call_reads_whole_steps_of_the_beginning() -> None:
    cache = RoutedCache()
    assert asked(cache, "river", "a", 0) == 0
    found = asked(cache, "river", "b", 1)
    assert found % 128 == 0
    assert 0 <= len(LORE["river"]) / 4 - found < 128


def test_a_short_prompt_is_not_kept_nor_one_after_its_time() -> None:
    cache = RoutedCache()
    assert cache.read("m", "x" * 4000, None, 0, 0.5) == cache.read("m", "x" * 4000, None, 1, 1.5) == 0
    asked(cache, "river", "a", 0)
    assert asked(cache, "river", "b", 299) > 0
    assert asked(cache, "river", "c", 900) == 0


def test_calls_side_by_side_find_nothing_of_each_other() -> None:
    cache = RoutedCache()
    asked(cache, "river", "a", 0)
    assert asked(cache, "river", "b", 0.25) == 0


def test_a_key_keeps_prompts_apart_that_begin_alike() -> None:
    """Without one, all of them go to one machine, which sends what is too much for it to others."""

    def read(*, keyed: bool) -> int:
        cache, found = RoutedCache(), 0
        for number in range(4 * PER_MINUTE):
            name = list(LORE)[number * 7 // 4 % 4]
            found += asked(cache, name, str(number), number / 2, key=name if keyed else None) > 1000
        return found

    assert read(keyed=True) > read(keyed=False)
