"""When an answer may come from the cache: what is configured, narrowed by what a request wishes."""

from dataclasses import replace

import pytest

from penstock.cache.policy import CachePolicy, Wish, policy, read_wish
from penstock.configuration.policies import CacheConfig
from penstock.errors import InvalidRequest

DEFAULT = CacheConfig()
RULES = CacheConfig.model_validate(
    {
        "rules": [
            {"tenants": ["shadow"], "mode": "write"},
            {"tenants": ["never"], "mode": "off"},
            {"models": ["faq"], "temperatures": "any", "max_age": 60},
        ]
    }
)
BOTH, NEITHER = CachePolicy(reads=True, writes=True), CachePolicy()
READ, WRITE = CachePolicy(reads=True), CachePolicy(writes=True)


@pytest.mark.parametrize(
    ("temperature", "wish", "expected"),
    [
        (0, None, BOTH),
        (0.0, None, BOTH),
        (None, None, NEITHER),
        (0.7, None, NEITHER),
        (0, "off", NEITHER),
        (0, "no-store", NEITHER),
        (0, "read", READ),
        (0, "write", WRITE),
        (0, "refresh", WRITE),
        (0, "no-cache", WRITE),
        (0, "max-age=5", CachePolicy(reads=True, writes=True, max_age=5)),
        (0.7, "max-age=5", NEITHER),
        (0.7, "on", BOTH),
        (0.7, "On, Max-Age=5", CachePolicy(reads=True, writes=True, max_age=5)),
    ],
)
def test_by_default(temperature: float | None, wish: str | None, expected: CachePolicy):
    found = policy(DEFAULT, tenant="t", model="m", temperature=temperature, wish=read_wish(wish))
    assert replace(found, reads_alike=True, writes_alike=True) == expected


@pytest.mark.parametrize(
    ("tenant", "model", "temperature", "wish", "expected"),
    [
        ("shadow", "m", 0, None, WRITE),
        ("shadow", "faq", 0, None, WRITE),
        ("shadow", "m", 0, "on", WRITE),
        ("shadow", "m", 0, "read", NEITHER),
        ("never", "faq", 0, "on", NEITHER),
        ("t", "faq", 1.0, None, CachePolicy(reads=True, writes=True, max_age=60)),
        ("t", "faq", None, "max-age=90", CachePolicy(reads=True, writes=True, max_age=60)),
        ("t", "m", 0, None, BOTH),
    ],
)
def test_by_rule(tenant: str, model: str, temperature: float | None, wish: str | None, expected: CachePolicy):
    found = policy(RULES, tenant=tenant, model=model, temperature=temperature, wish=read_wish(wish))
    assert replace(found, reads_alike=True, writes_alike=True) == expected


@pytest.mark.parametrize("value", ["sometimes", "max-age", "max-age=-1", "", 1, True, ["on"]])
def test_a_wish_nobody_understands_is_refused(value: object):
    with pytest.raises(InvalidRequest) as wrong:
        read_wish(value)
    assert wrong.value.param == "penstock_cache"


def test_nothing_said_is_no_wish():
    assert read_wish(None) == Wish()


def test_yaml_takes_on_and_off_for_truth_values():
    modes = [rule.mode for rule in CacheConfig.model_validate({"rules": [{"mode": True}, {"mode": False}]}).rules]
    assert modes == ["on", "off"]


@pytest.mark.parametrize(
    ("wish", "alike"),
    [(None, (True, True)), ("max-age=5", (True, True)), ("on", (True, True)), ("off", (False, False)),
     ("no-store", (False, False)), ("refresh", (False, True)), ("read", (True, False))],
)  # fmt: skip
def test_a_wish_narrows_the_semantic_cache_too(wish: str | None, alike: tuple[bool, bool]):
    found = policy(DEFAULT, tenant="t", model="m", temperature=0.7, wish=read_wish(wish))
    assert (found.reads_alike, found.writes_alike) == alike
