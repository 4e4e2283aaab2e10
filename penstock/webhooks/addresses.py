"""Where tenants' webhooks may go: public addresses, and the networks that the operator allows.

A tenant chooses the URL and Penstock makes the request, from inside the operator's network. So every address is judged
twice: when the URL is given, for a clear answer, and at every connection, on the very address that is connected to
(`penstock.http`), because a name may resolve to something else by then.
"""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

from penstock.errors import InvalidRequest

#: longer ones are refused
MAX_URL_CHARACTERS = 2048
#: how long resolving may take when a URL is given; what cannot be resolved then is judged at delivery
RESOLVE_SECONDS = 3.0

_PORTS = range(1, 65536)

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

#: global by their number, yet not a receiver: a cloud's host agent, and the relays of 6to4
_NO_RECEIVERS: tuple[tuple[IPv4Network, str], ...] = (
    (IPv4Network("168.63.129.16/32"), "a cloud's metadata service"),
    (IPv4Network("192.88.99.0/24"), "reserved"),
)
_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_METADATA = frozenset({ip_address("169.254.169.254"), ip_address("fd00:ec2::254"), ip_address("100.100.100.200")})
#: the interface identifiers of ISATAP, before the IPv4 address inside
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})


def refusal(address: str, allowed: Sequence[Network] = ()) -> str | None:
    """Why nothing may be sent to an address, None if it may. What is no canonical address is refused."""
    if not _canonical(address):
        return f"{address[:64]!r} is not an address"
    parsed = ip_address(address)
    inner = _inner(parsed)
    if any(_within(candidate, network) for candidate in {parsed, inner} for network in allowed):
        return None
    reason = _tunnel(parsed) if isinstance(parsed, IPv6Address) and inner is parsed else None
    reason = reason or _kind(inner)
    return f"{parsed} is {reason}" if reason else None


def checked_url(text: str, param: str) -> httpx.URL:
    """A receiver's URL, as the client that is to call it reads it.

    Raises:
        InvalidRequest: it cannot be one; `param` names the field.
    """
    if len(text) > MAX_URL_CHARACTERS:
        raise _unusable(param, f"it is longer than {MAX_URL_CHARACTERS} characters.")
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise _unusable(param, "it holds characters that a URL must have encoded.")
    try:
        url = httpx.URL(text)
        port = url.port
    except (httpx.InvalidURL, ValueError):
        raise _unusable(param, "it is not a URL.") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise _unusable(param, "it must begin with https:// or http:// and a host.")
    if port is not None and port not in _PORTS:
        raise _unusable(param, f"there is no port {port}.")
    if url.host.replace(".", "").isdigit() and not _canonical(url.host):
        raise _unusable(param, f"{url.host} is not an address; write all four numbers.")
    if url.userinfo:
        raise _unusable(param, "user and password do not belong into it: deliveries are signed instead.")
    return url.copy_with(fragment=None)


async def check_host(url: httpx.URL, allowed: Sequence[Network], param: str) -> None:
    """Resolve the host of a URL and judge every address it has. A name that does not resolve now is let pass.

    Raises:
        InvalidRequest: one of the addresses may not be sent to.
    """
    for address in await _resolve(url.host):
        reason = refusal(address, allowed)
        if reason is not None:
            raise _unusable(param, f"{reason}, and webhooks go to public addresses only (`webhooks.allow_networks`).")


def _canonical(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


async def _resolve(host: str) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # a TimeoutError is an OSError
        return []
    return [str(row[4][0]) for row in found]


def _unusable(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid value for '{param}': {message}", param=param, code="invalid_value")


def _within(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network


def _inner(address: Address) -> Address:
    """The IPv4 address that a mapped or NAT64 address stands for: both are how an IPv6 host reaches IPv4."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _tunnel(address: IPv6Address) -> str | None:
    """An IPv6 address that is delivered to an IPv4 address inside it, which nobody needs for a receiver."""
    if address.sixtofour is not None:
        return "a 6to4 address"
    if address.teredo is not None:
        return "a Teredo address"
    if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return "an ISATAP address"
    return None


def _kind(address: Address) -> str | None:
    if address in _METADATA:
        return "a cloud's metadata service"
    for name in ("unspecified", "loopback", "link_local", "multicast"):
        if getattr(address, f"is_{name}"):
            return {"link_local": "link-local"}.get(name, name)
    if isinstance(address, IPv4Address):
        for network, reason in _NO_RECEIVERS:
            if address in network:
                return reason
    elif address not in _UNICAST:
        return "not a public address"
    if address.is_private:
        return "private"
    return None if address.is_global and not address.is_reserved else "reserved"
