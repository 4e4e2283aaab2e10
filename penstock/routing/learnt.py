"""The learnt policies in use: the active version of each route, kept by every process and looked up again by the clock.

A document that cannot be read, or that names models which its route no longer has, is not used, and `problems` says
why: its route then works as one for which nothing was learnt.
"""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self, get_args

import structlog

from penstock.configuration import RouteConfig
from penstock.configuration.routes import models_of
from penstock.errors import ConfigError, Unavailable
from penstock.routing.artefact import Artefact
from penstock.routing.equivalence import RULES
from penstock.store import artefacts
from penstock.store.database import Database

#: seconds between two looks: so long after it was made a version is in use everywhere
REFRESH_SECONDS = 3.0
#: `content` decides on the prompt alone, `verifier` on the prompt and the cheap model's answer
Kind = Literal["content", "verifier"]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LearntPolicy:
    """A calibrated policy of a route, which decides between two of its models.

    `rule` names how answers were compared, None where only labels were given; `signals` are those that the examples
    had (`token_probability`, `stated`); `baseline` is what was normal at calibration (see `penstock.routing.drift`).
    """

    kind: Kind
    cheap: str
    strong: str
    artefact: Artefact
    rule: str | None = None
    signals: tuple[str, ...] = ()
    baseline: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0

    def to_json(self) -> dict[str, Any]:
        """The document that is stored."""
        return {
            "kind": self.kind,
            "cheap": self.cheap,
            "strong": self.strong,
            "rule": self.rule,
            "signals": list(self.signals),
            "baseline": dict(self.baseline),
            "artefact": self.artefact.to_json(),
        }

    @classmethod
    def from_json(cls, value: Any, version: int = 0) -> "LearntPolicy":
        """Read what `to_json` wrote.

        Raises:
            ConfigError: it is not one; the message names the field.
        """
        if not isinstance(value, Mapping):
            raise ConfigError("a learnt policy is a JSON object")
        kind = next((one for one in get_args(Kind) if one == value.get("kind")), None)
        rule = value.get("rule")
        if kind is None:
            raise ConfigError(f"a learnt policy's `kind` is one of {', '.join(get_args(Kind))}")
        if rule is not None and rule not in RULES:
            raise ConfigError(f"a learnt policy's `rule` is one of {', '.join(RULES)}")
        for name in ("cheap", "strong"):
            if not isinstance(value.get(name), str):
                raise ConfigError(f"a learnt policy's `{name}` is the name of a model")
        if not isinstance(value.get("artefact"), Mapping):
            raise ConfigError("a learnt policy's `artefact` is a JSON object")
        signals, baseline = value.get("signals", []), value.get("baseline", {})
        if not isinstance(signals, list) or not isinstance(baseline, Mapping):
            raise ConfigError("a learnt policy's `signals` are an array, its `baseline` an object")
        _check_baseline(baseline)
        artefact = Artefact.from_json(value["artefact"])
        if artefact.score.sees_answer is not (kind == "verifier"):
            raise ConfigError(f"the `artefact` of this learnt policy is not that of a {kind}")
        names = tuple(map(str, signals))
        return cls(kind, value["cheap"], value["strong"], artefact, rule, names, dict(baseline), version)

    def check(self, route: str, routes: Mapping[str, RouteConfig]) -> None:
        """See that it is about the models of its route as it is configured now.

        Raises:
            ConfigError: there is no such route, or it has no such step.
        """
        if route not in routes:
            raise ConfigError(f"there is no route `{route}`")
        models = set(models_of(routes, route))
        for name in (self.cheap, self.strong):
            if name not in models:
                raise ConfigError(f"it was learnt for the model `{name}`, which the route `{route}` does not have")


def _check_baseline(baseline: Mapping[str, Any]) -> None:
    """See that workers can count by it: what they cannot read would cost them jobs.

    Raises:
        ConfigError: it has something else than nine ordered bounds and shares from 0 to 1.
    """
    bounds = baseline.get("need_edges")
    if bounds is not None:
        numbers = isinstance(bounds, list) and all(
            isinstance(one, int | float) and math.isfinite(one) for one in bounds
        )
        if not numbers or len(bounds) != 9 or sorted(bounds) != bounds:
            raise ConfigError("a learnt policy's `baseline.need_edges` are nine numbers in their order")
    for name in ("escalated", "agreed", "same"):
        share = baseline.get(name)
        if share is not None and not (isinstance(share, int | float) and 0 <= share <= 1):
            raise ConfigError(f"a learnt policy's `baseline.{name}` is a share from 0 to 1")


class Source(Protocol):
    """Where versions are found."""

    async def active(self) -> Mapping[str, int]:
        """The active version of each route that has one."""
        ...

    async def document(self, route: str, version: int) -> Any:
        """What a version holds."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """The versions in the database. Both raise `Unavailable`."""

    database: Database

    async def active(self) -> Mapping[str, int]:
        """See `Source`."""
        return await artefacts.active(self.database)

    async def document(self, route: str, version: int) -> Any:
        """See `Source`."""
        return await artefacts.document(self.database, route, version)


class Nowhere:
    """No versions at all: for a process without a database."""

    async def active(self) -> Mapping[str, int]:
        """See `Source`."""
        return {}

    async def document(self, route: str, version: int) -> Any:
        """See `Source`."""
        raise KeyError(f"{route}/{version}")


class LearntPolicies:
    """The learnt policies of one process."""

    def __init__(self, routes: Mapping[str, RouteConfig], source: Source) -> None:
        self._routes = routes
        self._source = source
        self._policies: dict[str, LearntPolicy] = {}
        self._seen: dict[str, int] = {}
        #: by route, why its active version is not used
        self.problems: dict[str, str] = {}

    @classmethod
    def stored(cls, routes: Mapping[str, RouteConfig], database: Database) -> Self:
        """Those of a database."""
        return cls(routes, Stored(database))

    @classmethod
    def given(cls, routes: Mapping[str, RouteConfig], documents: Mapping[str, Any]) -> Self:
        """Those of documents at hand, by route.

        Raises:
            ConfigError: one of them cannot be used; the message names its route.
        """
        found = cls(routes, Nowhere())
        for route, document in documents.items():
            try:
                policy = LearntPolicy.from_json(document)
                policy.check(route, routes)
            except ConfigError as error:
                raise ConfigError(f"learnt policy of {route}: {error.message}") from error
            found._policies[route] = policy
        return found

    def get(self, route: str) -> Artefact | None:
        """The active artefact of a route, None where nothing was learnt (or nothing that can be used)."""
        policy = self._policies.get(route)
        return policy.artefact if policy is not None else None

    def policy(self, route: str) -> LearntPolicy | None:
        """As `get`, with the names of the two models and all else that is known of it."""
        return self._policies.get(route)

    async def refresh(self) -> None:
        """Look for other active versions.

        Raises:
            Unavailable: the database cannot be reached; what was known is still used.
        """
        now = await self._source.active()
        for route in self._seen.keys() - now.keys():
            for known in (self._seen, self._policies, self.problems):
                known.pop(route, None)
        for route, version in now.items():
            if self._seen.get(route) != version:
                document = await self._source.document(route, version)
                # a document is a megabyte or two: read in a thread, so that no job waits for it
                await self._use(route, version, document)
                self._seen[route] = version

    async def start(self) -> None:
        """The first look; while the database is away, again."""
        while True:
            try:
                return await self.refresh()
            except Unavailable as error:
                _log.warning("learnt policies: waiting for the database", error=error.message)
                await asyncio.sleep(1.0)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
            except Unavailable as error:
                _log.warning("learnt policies: the database is away", error=error.message)

    async def _use(self, route: str, version: int, document: Any) -> None:
        try:
            policy = await asyncio.to_thread(LearntPolicy.from_json, document, version)
            policy.check(route, self._routes)
        except ConfigError as error:
            self._policies.pop(route, None)
            self.problems[route] = f"version {version} is not used: {error.message}"
            _log.error("a learnt policy is not used", route=route, version=version, reason=error.message)
        else:
            self.problems.pop(route, None)
            self._policies[route] = policy
            _log.info("a learnt policy is in use", route=route, version=version, policy=policy.kind)
