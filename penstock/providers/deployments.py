"""Deployments: what serves the public model names, and the names that stand for several of them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from penstock.completion.encoding import dumps
from penstock.configuration import Config, ModelConfig, Price, ProviderConfig, RouteConfig
from penstock.configuration.routes import models_of
from penstock.errors import ModelNotFound


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where one model is served. `name` is the public model name.

    `fingerprint` is the same for two that would answer alike: of one upstream model at one address, asked in one way.
    It is a hash over all of its provider's row that can change an answer, headers and quirks included.
    """

    name: str
    provider: str
    upstream_model: str
    price: Price | None
    context: int | None
    max_output: int | None
    provider_config: ProviderConfig
    model_config: ModelConfig
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        provider = self.provider_config
        served = [self.upstream_model, self.provider, provider.wire_format, provider.base_url, provider.api_version]
        # sets are sorted: their own order is another one in every process
        quirks = {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in sorted(provider.quirks.model_dump().items())
        }
        text = dumps([served, sorted(provider.headers.items()), quirks])
        object.__setattr__(self, "fingerprint", hashlib.sha256(text).hexdigest())


class Deployments:
    """Every configured deployment, and the routes over them. Which one a request goes to: `routing/router.py`."""

    def __init__(self, config: Config) -> None:
        self.routes = config.routes
        self._by_name = {
            name: Deployment(
                name=name,
                provider=model.provider,
                upstream_model=model.upstream_model or name,
                price=model.price,
                context=model.context,
                max_output=model.max_output,
                provider_config=config.providers[model.provider],
                model_config=model,
            )
            for name, model in config.models.items()
        }

    def __iter__(self) -> Iterator[Deployment]:
        return iter(self._by_name.values())

    def __contains__(self, model: object) -> bool:
        """Whether this is a name that clients may ask for: a model's or a route's."""
        return model in self._by_name or model in self.routes

    def upstreams(self) -> list[tuple[str, str, str]]:
        """(name, provider, upstream model) of each."""
        return [(d.name, d.provider, d.upstream_model) for d in self]

    def of(self, model: str, tenant: str | None = None) -> dict[str, Deployment]:
        """The deployments that a public model or route may come to, in the order of the configuration.

        With a `tenant`, those that it may use.

        Raises:
            ModelNotFound: there is none.
        """
        found = {
            name: self._by_name[name]
            for name in (models_of(self.routes, model) if model in self else ())
            if tenant is None or _may_use(tenant, self._by_name[name])
        }
        if not found:
            raise ModelNotFound(model)
        return found

    def names_for(self, tenant: str) -> list[str]:
        """The models and routes that a tenant may ask for."""
        models = [name for name, deployment in self._by_name.items() if _may_use(tenant, deployment)]
        return [*models, *(route for route in self.routes if set(models_of(self.routes, route)) & set(models))]

    def fallback_on(self, model: str) -> frozenset[str]:
        """After which failures a job that asked for this name goes to its next deployment."""
        route = self.routes.get(model)
        return frozenset(route.fallback_on if route is not None else DEFAULT_FALLBACK_ON)

    def get(self, name: str) -> Deployment | None:
        """A deployment by its name, None when the configuration no longer has it."""
        return self._by_name.get(name)


def _may_use(tenant: str, deployment: Deployment) -> bool:
    allowed = deployment.model_config.tenants
    return allowed is None or tenant in allowed


#: what a request's own `fallback` is used for, as it cannot say
DEFAULT_FALLBACK_ON = RouteConfig.model_fields["fallback_on"].default
