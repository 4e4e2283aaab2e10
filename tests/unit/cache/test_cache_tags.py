"""The tags that a request gives its answer, and what marks say of it."""

import pytest

from penstock.cache.invalidation import Kept, Marks
from penstock.cache.policy import Wish, read_tags, take_wish
from penstock.errors import InvalidRequest
from penstock.store.cache_marks import Mark, Scope


def test_tags_come_as_a_list_or_with_commas_and_once_each() -> None:
    assert read_tags("a, b ,a") == read_tags(["a", "b"]) == ("a", "b")
    assert read_tags(None) == ()


@pytest.mark.parametrize(
    "value", ["", "a,,b", "a b", "x" * 65, ["a", 1], ["a,b"], {"a": 1}, 7, [f"t{n}" for n in range(17)]]
)
def test_what_is_no_tag_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidRequest) as wrong:
        read_tags(value)
    assert wrong.value.param == "penstock_cache_tags"


def test_no_provider_sees_the_fields() -> None:
    body = {"model": "m", "penstock_cache": "on", "penstock_cache_tags": ["a"]}
    assert take_wish(body) == Wish("on", None, ("a",))
    assert body == {"model": "m"}


def test_the_latest_mark_that_fits_counts() -> None:
    marks = Marks([Mark(Scope("a", tag="x"), 5.0), Mark(Scope("", "m"), 9.0), Mark(Scope("a", "m", "y"), 12.0)])
    assert marks.before(Kept("a", ("m",), ("x",))) == 9.0
    assert marks.before(Kept("a", ("n",), ("x",))) == 5.0
    assert marks.before(Kept("a", ("n", "m"), ("y", "z"))) == 12.0
    assert marks.before(Kept("b", ("n",), ("x", "y"))) == 0.0
