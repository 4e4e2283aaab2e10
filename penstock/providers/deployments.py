"""Deployments: a public model name bound to a provider and to what the model is called there."""

from collections.abc import Iterator
from dataclasses import dataclass

from penstock.configuration import Config, ModelConfig, Price, ProviderConfig
from penstock.errors import ModelNotFound


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where one model is served. `name` is the public model name."""

    name: str
    provider: str
    upstream_model: str
    price: Price | None
    context: int | None
    max_output: int | None
    provider_config: ProviderConfig
    model_config: ModelConfig


class Deployments:
    """Every configured deployment."""

    def __init__(self, config: Config) -> None:
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
        return model in self._by_name

    def upstreams(self) -> list[tuple[str, str, str]]:
        """(name, provider, upstream model) of each."""
        return [(d.name, d.provider, d.upstream_model) for d in self]

    def for_model(self, model: str) -> Deployment:
        """The deployment that serves a public model.

        Raises:
            ModelNotFound: no such model is configured.
        """
        found = self._by_name.get(model)
        if found is None:
            raise ModelNotFound(model)
        return found

    def get(self, name: str) -> Deployment | None:
        """A deployment by its name, None when the configuration no longer has it."""
        return self._by_name.get(name)
