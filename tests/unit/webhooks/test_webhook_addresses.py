"""Where tenants' webhooks may go: no private address passes, in any spelling of it."""

import asyncio
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidRequest
from penstock.webhooks.addresses import MAX_URL_CHARACTERS, check_host, checked_url, refusal

FORBIDDEN_V4 = [
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.2.0/24",
        "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32", "192.88.99.0/24",
    )
]  # fmt: skip
FORBIDDEN_V6 = [
    IPv6Network(text)
    for text in ("::/96", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "2001:db8::/32", "64:ff9b:1::/48",
                 "2002::/16", "2001::/32", "100::/64", "5f00::/16", "4000::/3")
]  # fmt: skip


def inside(networks: list[IPv4Network] | list[IPv6Network]) -> st.SearchStrategy[int]:
    def member(network: IPv4Network | IPv6Network) -> st.SearchStrategy[int]:
        first = int(network.network_address)
        return st.integers(first, first + network.num_addresses - 1)

    return st.sampled_from(networks).flatmap(member)


forbidden_v4 = inside(FORBIDDEN_V4).map(IPv4Address)
forbidden_v6 = inside(FORBIDDEN_V6).map(IPv6Address)


def spellings(address: IPv4Address) -> list[str]:
    """Every way of writing an IPv4 address that some resolver, or some network, takes for it."""
    number, parts = int(address), address.packed
    low = f"{parts[0] << 8 | parts[1]:x}:{parts[2] << 8 | parts[3]:x}"
    return [
        str(address),
        str(number),
        hex(number),
        f"0{number:o}",
        ".".join(hex(part) for part in parts),
        ".".join(f"0{part:o}" for part in parts),
        f"{parts[0]}.{number & 0xFFFFFF}",
        f"{parts[0]}.{parts[1]}.{number & 0xFFFF}",
        f"[::ffff:{address}]",
        f"[::ffff:{low}]",
        f"[0:0:0:0:0:FFFF:{low}]",
        f"[::{low}]",
        f"[64:ff9b::{low}]",
        f"[2002:{low}::1]",
        f"[2001:0:{low}::1]",
        f"[2606:4700::5efe:{low}]",
        f"[2606:4700::200:5efe:{low}]",
    ]


def passes(url: str) -> bool:
    """Whether a URL is taken, as the API asks."""
    try:
        asyncio.run(check_host(checked_url(url, "url"), (), "url"))
    except InvalidRequest as error:
        return error.param != "url"
    return True


@given(forbidden_v4)
def test_no_spelling_of_a_private_address_passes(address: IPv4Address) -> None:
    for host in spellings(address):
        assert not passes(f"http://{host}:8080/hook"), host
        if host.startswith("["):
            assert refusal(host[1:-1]) is not None, host


@given(forbidden_v6)
def test_no_private_address_of_version_6_passes(address: IPv6Address) -> None:
    assert refusal(str(address)) is not None
    assert refusal(address.exploded) is not None
    assert not passes(f"https://[{address}]/hook")


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_what_passes_is_global_and_unicast(address: IPv4Address) -> None:
    """Judged against the registry of the standard library, not against our own lists."""
    if refusal(str(address)) is None:
        assert address.is_global
        assert not address.is_multicast
        assert not any(address in network for network in FORBIDDEN_V4)


@given(st.integers(2**125, 2**126 - 1).map(IPv6Address))
def test_what_passes_of_version_6_is_global_and_no_tunnel(address: IPv6Address) -> None:
    if refusal(str(address)) is None:
        assert address.is_global
        assert address.sixtofour is None
        assert address.teredo is None


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses_pass(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize(
    "address", ["", "127.1", "2130706433", "0x7f.1", "localhost", "1.1.1.1 ", "fe80::1%lo", "[::1]"]
)
def test_what_is_no_public_address_in_its_canonical_form_is_refused(address: str) -> None:
    assert refusal(address) is not None


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "168.63.129.16", "100.100.100.200"])
def test_metadata_services_are_named(address: str) -> None:
    assert refusal(address) == f"{address} is a cloud's metadata service"


def test_allowed_networks_pass_and_their_neighbours_do_not() -> None:
    allowed = [ip_network("10.1.0.0/16"), ip_network("fd12::/16")]
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd12::1"):
        assert refusal(address, allowed) is None, address
    for address in ("10.2.0.1", "::ffff:10.2.0.1", "fd13::1", "127.0.0.1", "2002:a01:203::1"):
        assert refusal(address, allowed) is not None, address


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "//example.com/", "ftp://example.com/", "https:///path", "https://", "http://:80/",
        "https://user@example.com/", "https://user:word@example.com/", "https://exa mple.com/",
        "https://example.com/\n", "https://example.com\\@127.0.0.1/", "https://example.com:0/", "https://example.com:99999/",
        "https://ex\0ample/", "https://münchen.example/", "http://1.2.3/", "http://256.1.1.1/",
        "https://example.com/" + "x" * MAX_URL_CHARACTERS,
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_receiver_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked_url(url, "callback_url")
    assert caught.value.param == "callback_url"


def test_a_url_is_kept_as_it_is_called() -> None:
    assert str(checked_url("HTTPS://Example.COM:443/A?b=C#part", "url")) == "https://example.com/A?b=C"


async def test_one_private_address_of_several_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(*_: object, **__: object) -> list[object]:
        return [(2, 1, 6, "", ("1.1.1.1", 0)), (2, 1, 6, "", ("10.0.0.1", 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answer)
    with pytest.raises(InvalidRequest, match=r"10\.0\.0\.1 is private"):
        await check_host(checked_url("https://two.example/", "url"), (), "url")


async def test_a_name_that_does_not_resolve_yet_is_let_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every delivery judges it again."""

    async def fail(*_: object, **__: object) -> list[object]:
        raise OSError("no such name")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
    await check_host(checked_url("https://later.example/", "url"), (), "url")
