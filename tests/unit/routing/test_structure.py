"""An answer's form holds or not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.routing.structure import compiles, fits_schema

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=8,
)
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}}},
    "required": ["n"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("answer", "holds"),
    [
        ('{"n": 1}', 1),
        ('```json\n{"n": 1, "tags": ["a"]}\n```', 1),
        ('{"n": 1.0}', 1),
        ('{"n": true}', 0),
        ('{"n": -1}', 0),
        ('{"n": 1, "tags": ["c"]}', 0),
        ('{"n": 1, "more": 2}', 0),
        ("{}", 0),
        ("[1]", 0),
        ('{"n": 1', 0),
        ("", 0),
    ],
)
def test_schema(answer: str, holds: float) -> None:
    assert fits_schema(SCHEMA, answer) == holds


@given(VALUES)
def test_an_empty_schema_takes_all_json_and_a_constant_only_itself(value: object) -> None:
    assert fits_schema({}, json.dumps(value)) == 1
    assert fits_schema({"const": value}, json.dumps(value)) == 1
    assert fits_schema({"const": [value]}, json.dumps(value)) == 0


def test_any_of() -> None:
    schema = {"anyOf": [{"type": "null"}, {"type": "string"}]}
    assert fits_schema(schema, '"x"') == 1
    assert fits_schema(schema, "null") == 1
    assert fits_schema(schema, "1") == 0


def test_code() -> None:
    assert compiles("Here:\n```python\nx = 1\n```\nand\n```python\ny = 2\n```") == 1
    assert compiles("```python\nx = \n```") == 0
    assert compiles("def f(:") == 0
    assert compiles("```python\nx = 1\n```\nRun it:\n```bash\nls -l | wc\n```") == 1
    assert compiles("I would rather not.") == 0
