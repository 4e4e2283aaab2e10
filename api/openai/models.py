"""Models as OpenAI shows them (contract §7)."""

from typing import Any

from penstock.providers.deployments import Deployments

#: configured models have no time of creation of their own, and the schema wants one
_CREATED = 0
_ROUTE_OWNER = "penstock"


def whole_list(deployments: Deployments) -> dict[str, Any]:
    """Every configured model, and every route."""
    names = [*(deployment.name for deployment in deployments), *deployments.routes]
    return {"object": "list", "data": [show(deployments, name) for name in names]}


def show(deployments: Deployments, name: str) -> dict[str, Any]:
    """One model or route.

    Raises:
        ModelNotFound: there is none of this name.
    """
    plan = deployments.plan(name)
    owner = _ROUTE_OWNER if name in deployments.routes else plan.deployment.provider
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": owner}
