"""Receivers from the configuration, checked and ready to be sent to."""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import SecretStr

from penstock.configuration import WebhookEndpointConfig, WebhooksConfig
from penstock.errors import ConfigError
from penstock.store.webhooks import Subscription

#: the vendor's own: what an endpoint that names none gets
EVENT_TYPES = frozenset(
    {
        "batch.completed",
        "batch.failed",
        "batch.expired",
        "batch.cancelled",
        "response.completed",
        "response.failed",
        "response.incomplete",
        "response.cancelled",
    }
)
#: of Penstock's own dialect; a vendor's verifier knows none of them, so they come only where they are named
JOB_EVENT_TYPES = frozenset({"job.succeeded", "job.failed", "job.cancelled", "job.expired"})
ALL_EVENT_TYPES = EVENT_TYPES | JOB_EVENT_TYPES
_WHSEC = "whsec_"
_KEY_BYTES = range(24, 65)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver. `tenant` None: of every tenant; `events`: the types it gets; `keys` sign, all of them.

    `id` depends on tenant and URL only: deliveries under way survive a new secret or another choice of events.
    """

    id: str
    url: str = field(repr=False)
    #: scheme, host and port: what may be logged of a URL, whose path or query may be a secret
    origin: str
    keys: tuple[bytes, ...] = field(repr=False)
    #: user and password, when the URL was written with them; `url` has them no more
    auth: tuple[str, str] | None = field(default=None, repr=False)
    tenant: str | None = None
    events: frozenset[str] = frozenset()

    def subscriptions(self) -> list[Subscription]:
        """What goes here, in the outbox's terms."""
        return [Subscription(self.id, self.tenant, event) for event in sorted(self.events)]


def static_endpoints(config: WebhooksConfig) -> tuple[Endpoint, ...]:
    """The endpoints of the configuration.

    Raises:
        ConfigError: one cannot be used; the message names its key, never a secret.
    """
    endpoints: dict[str, Endpoint] = {}
    for index, row in enumerate(config.endpoints):
        where = f"webhooks.endpoints[{index}]"
        endpoint = _endpoint(row, where)
        if endpoint.id in endpoints:
            raise ConfigError(
                f"{where}.url: this tenant and url are configured twice; put their events in one endpoint"
            )
        endpoints[endpoint.id] = endpoint
    return tuple(endpoints.values())


def _endpoint(row: WebhookEndpointConfig, where: str) -> Endpoint:
    for event in row.events:
        if event not in ALL_EVENT_TYPES:
            known = ", ".join(sorted(ALL_EVENT_TYPES))
            raise ConfigError(f"{where}.events: there is no event type `{event}` (known: {known})")
    parts, origin = _address(row.url, f"{where}.url")
    name = f"{row.tenant or ''}\n{row.url}"
    return Endpoint(
        id="static_" + hashlib.sha256(name.encode()).hexdigest()[:16],
        url=parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(),
        origin=origin,
        keys=(_key(row.secret, f"{where}.secret"),),
        auth=(unquote(parts.username), unquote(parts.password or "")) if parts.username else None,
        tenant=row.tenant,
        events=frozenset(row.events) or EVENT_TYPES,
    )


def _address(url: str, where: str) -> tuple[SplitResult, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError(f"{where}: is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{where}: must begin with http:// or https:// and a host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts, f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def _key(secret: SecretStr, where: str) -> bytes:
    """The signing key. Strict, because vendors' verifiers are: standard alphabet, with its padding."""
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(_WHSEC), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_WHSEC) or len(key) not in _KEY_BYTES:
        raise ConfigError(f"{where}: must be `whsec_` and 24 to 64 bytes in standard base64, padded with `=`")
    return key
