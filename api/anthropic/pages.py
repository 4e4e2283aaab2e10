"""Anthropic's lists: one page, with a cursor at either end (contract §1.7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from api.bodies import query_integer
from penstock.errors import InvalidRequest

MAX_LIMIT, DEFAULT_LIMIT = 1000, 20


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What is asked for: up to `limit` objects right after one id, or right before one; from the start without."""

    limit: int
    after_id: str | None
    before_id: str | None

    @classmethod
    def of(cls, request: Request) -> "PageQuery":
        """Read the query string.

        Raises:
            InvalidRequest: the limit is out of range, or both cursors are given.
        """
        limit = query_integer(request, "limit", DEFAULT_LIMIT, low=1, high=MAX_LIMIT) or DEFAULT_LIMIT
        after_id, before_id = request.query_params.get("after_id"), request.query_params.get("before_id")
        if after_id and before_id:
            raise InvalidRequest("Give either 'after_id' or 'before_id', not both.", param="before_id")
        return cls(limit, after_id or None, before_id or None)


def page_of(data: Sequence[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """The page object."""
    return {
        "data": list(data),
        "has_more": has_more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def cut(rows: Sequence[dict[str, Any]], query: PageQuery) -> dict[str, Any]:
    """The page of a whole list in memory.

    Raises:
        InvalidRequest: the cursor names nothing in it.
    """
    start, end = 0, len(rows)
    if query.after_id is not None:
        start = _place(rows, query.after_id, "after_id") + 1
    if query.before_id is not None:
        end = _place(rows, query.before_id, "before_id")
        start = max(end - query.limit, 0)
        return page_of(rows[start:end], has_more=start > 0)
    return page_of(rows[start : start + query.limit], has_more=start + query.limit < end)


def _place(rows: Sequence[dict[str, Any]], row_id: str, param: str) -> int:
    for place, row in enumerate(rows):
        if row["id"] == row_id:
            return place
    raise InvalidRequest(f"'{param}' names nothing in this list.", param=param, code="invalid_value")
