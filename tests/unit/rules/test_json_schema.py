"""One checker of JSON schemas: says where a value does not fit, and never fetches or hangs."""

import pytest

from penstock.completion.encoding import dumps
from penstock.rules.json_schema import misfit, unusable

SCHEMA = dumps({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})


@pytest.mark.parametrize(
    ("value", "fault"),
    [({"n": 1}, None), ({"n": "1"}, "`type` at `/n`"), ({}, "`required` at `/`"), ([], "`type` at `/`")],
)
def test_a_misfit_names_keyword_and_place_but_not_the_value(value: object, fault: str | None) -> None:
    assert misfit(SCHEMA, value) == fault


@pytest.mark.parametrize("schema", [{"type": "nothing"}, {"$ref": "http://127.0.0.1:9/schema"}, {"pattern": "("}])
def test_a_schema_that_cannot_be_used_says_so_and_refuses_nothing(schema: dict[str, str]) -> None:
    assert unusable(dumps(schema))
    assert misfit(dumps(schema), "anything") is None
