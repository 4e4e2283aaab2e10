"""Whether a JSON value fits a JSON schema: the one checker, for whoever judges answers by their form.

Tenants write schemas: patterns run on an engine of linear time, and an address in a schema is not fetched.
"""

from functools import lru_cache
from typing import Any

import jsonschema_rs

from penstock.completion.encoding import loads


class _Offline(Exception):
    """Raised where a schema refers to an address: nothing is fetched for it."""


def unusable(schema: bytes) -> str | None:
    """Why the JSON of a schema cannot be checked against, in words; None where it can."""
    found = _validator(schema)
    return found if isinstance(found, str) else None


def misfit(schema: bytes, value: Any) -> str | None:
    """Which keyword of the schema fails and where, in words that do not quote the value; None where it fits.

    A schema that cannot be used refuses nothing: see `unusable`.
    """
    validator = _validator(schema)
    error = None if isinstance(validator, str) else next(validator.iter_errors(value), None)
    if error is None:
        return None
    place = "/".join(str(step) for step in error.instance_path)
    keyword = str(error.schema_path[-1]) if error.schema_path else "schema"
    return f"`{keyword}` at `/{place}`"


def _nothing_fetched(address: str) -> Any:
    raise _Offline(f"{address} is not fetched")


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    """A validator, or in words why there is none."""
    try:
        return jsonschema_rs.validator_for(
            loads(schema), retriever=_nothing_fetched, pattern_options=jsonschema_rs.RegexOptions()
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return f"{type(error).__name__}: {error}"[:300]
