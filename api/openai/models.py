"""Models as OpenAI shows them (contract §7)."""

from typing import Any

from penstock.providers.deployments import Deployments

#: configured models have no time of creation of their own, and the schema wants one
_CREATED = 0
_ROUTE_OWNER = "penstock"


def whole_list(deployments: Deployments, tenant: str) -> dict[str, Any]:
    """Every configured model and every route that a tenant may use."""
    names = deployments.names_for(tenant)
    return {"object": "list", "data": [show(deployments, name, tenant) for name in names]}


def show(deployments: Deployments, name: str, tenant: str) -> dict[str, Any]:
    """One model or route.

    Raises:
        ModelNotFound: there is none of this name that the tenant may use.
    """
    found = deployments.of(name, tenant)
    owner = _ROUTE_OWNER if name in deployments.routes else found[name].provider
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": owner}
