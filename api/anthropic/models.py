"""Models as Anthropic shows them (contract §13)."""

from collections.abc import Iterable
from typing import Any

from fastapi import Request

from api.anthropic.pages import PageQuery, cut
from penstock.providers.deployments import Deployments

#: what the vendor itself shows of a model whose release date is not known
_CREATED_AT = "1970-01-01T00:00:00Z"


def page(deployments: Deployments, tenant: str, request: Request) -> dict[str, Any]:
    """One page of every configured model and every route that a tenant may use.

    Raises:
        InvalidRequest: the query cannot be used.
    """
    names = deployments.names_for(tenant)
    return cut([show(deployments, name, tenant) for name in names], PageQuery.of(request))


def show(deployments: Deployments, name: str, tenant: str) -> dict[str, Any]:
    """One model or route; of a route, what its largest model takes.

    Raises:
        ModelNotFound: there is none of this name that the tenant may use.
    """
    found = deployments.of(name, tenant).values()
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": _CREATED_AT,
        "lifecycle": "active",
        "max_input_tokens": _most([deployment.context for deployment in found]),
        "max_tokens": _most([deployment.max_output for deployment in found]),
    }


def _most(limits: Iterable[int | None]) -> int | None:
    """The greatest of them, None where one is not known."""
    found = list(limits)
    return None if None in found else max(one for one in found if one is not None)
