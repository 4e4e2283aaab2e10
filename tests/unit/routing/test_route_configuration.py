"""A route that cannot work is an error that names its key."""

from typing import Any

import pytest

from penstock.configuration import Config
from penstock.errors import ConfigError
from penstock.settings import parse_config

BASE: dict[str, Any] = {
    "providers": {
        "p": {"wire_format": "openai", "base_url": "http://h"},
        "q": {"wire_format": "anthropic", "base_url": "http://h"},
    },
    "models": {"a": {"provider": "p"}, "b": {"provider": "p"}, "c": {"provider": "q"}},
}


def parsed(**routes: Any) -> Config:
    return parse_config({**BASE, "routes": routes}, "test")


@pytest.mark.parametrize(
    ("routes", "told"),
    [
        ({"r": {"steps": ["a", "absent"]}}, r"routes\.r\.steps\[1\]: there is no model or route `absent`"),
        ({"a": {"steps": ["b"]}}, r"routes\.a: a model has this name"),
        ({"r": {"steps": ["a", "r"]}}, r"routes\.r\.steps\[1\]: leads in a circle: r → r"),
        (
            {"r": {"steps": ["s"]}, "s": {"steps": ["a", "t"]}, "t": {"steps": ["r"]}},
            r"routes\.t\.steps\[0\]: leads in a circle: r → s → t → r",
        ),
        ({"r": {"steps": ["a"], "price": 1}}, r"`price` belongs to `strategy: quality`"),
        ({"r": {"steps": ["a"], "accept": {"pattern": "x"}}}, r"`accept` belongs to `strategy: escalation`"),
        ({"r": {"steps": ["a"], "explore": 0.1}}, r"`explore` belongs to `strategy: latency`"),
        (
            {"r": {"strategy": "cost", "steps": ["a"], "weights": {"a": 1}}},
            r"`weights` belongs to",
        ),
        ({"r": {"strategy": "weighted", "steps": ["a"]}}, r"weights: .* needs a weight above 0"),
        ({"r": {"strategy": "weighted", "steps": ["a"], "weights": {"b": 1}}}, r"weights\.b: there is no such step"),
        ({"r": {"strategy": "content", "steps": ["a", "b", "c"]}}, r"two steps"),
        ({"r": {"strategy": "cost", "steps": ["a"], "max_cost": 0}}, r"max_cost"),
        ({"r": {"strategy": "random", "steps": ["a"]}}, r"strategy"),
        (
            {
                "r": {"strategy": "escalation", "steps": ["s", "a"]},
                "s": {"strategy": "escalation", "steps": ["a", "b"]},
            },
            r"routes\.r\.steps\[0\]: `s` escalates itself",
        ),
        (
            {
                "r": {"strategy": "escalation", "steps": ["s", "a"], "accept": {"min_probability": 0.9}},
                "s": {"steps": ["a", "c"]},
            },
            r"routes\.r\.accept\.min_probability: the provider of `c`",
        ),
    ],
)
def test_what_is_wrong_is_named(routes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parsed(**routes)


def test_routes_of_routes() -> None:
    parsed(
        r={"strategy": "weighted", "steps": ["s", "c"], "weights": {"s": 0.9, "c": 0.1}},
        s={"strategy": "escalation", "steps": ["t", "c"], "max_cost": 0.01},
        t={"strategy": "latency", "steps": ["a", "b"], "max_cost": 0.001},
    )
