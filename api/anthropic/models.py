"""Models as Anthropic shows them (contract §13)."""

from typing import Any

from fastapi import Request

from api.anthropic.pages import PageQuery, cut
from penstock.providers.deployments import Deployments

#: what the vendor itself shows of a model whose release date is not known
_CREATED_AT = "1970-01-01T00:00:00Z"


def page(deployments: Deployments, request: Request) -> dict[str, Any]:
    """One page of every configured model and every route.

    Raises:
        InvalidRequest: the query cannot be used.
    """
    names = [*(deployment.name for deployment in deployments), *deployments.routes]
    return cut([show(deployments, name) for name in names], PageQuery.of(request))


def show(deployments: Deployments, name: str) -> dict[str, Any]:
    """One model or route.

    Raises:
        ModelNotFound: there is none of this name.
    """
    deployment = deployments.plan(name).deployment
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": _CREATED_AT,
        "lifecycle": "active",
        "max_input_tokens": deployment.context,
        "max_tokens": deployment.max_output,
    }
