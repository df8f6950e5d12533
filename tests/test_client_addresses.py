"""Client addresses behind proxies: one module for the site and for workers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from shared.client_addresses import PRIVATE_NETWORKS, TrustedProxies, parse_networks
from shared.settings import SettingsError
from worker.wire.upgrade import client_address

PROXIES = TrustedProxies(parse_networks(f"{PRIVATE_NETWORKS}, 198.51.100.0/24"))
CLIENT = "203.0.113.7"
CLIENT6 = "2001:db8::7"

FORWARDED_FOR = {
    "": "127.0.0.1",
    CLIENT: CLIENT,
    f"{CLIENT}:51234": CLIENT,
    f"[{CLIENT6}]:51234": CLIENT6,
    f"[{CLIENT6}]": CLIENT6,
    CLIENT6: CLIENT6,
    f"::ffff:{CLIENT}": CLIENT,
    f"[::ffff:{CLIENT}]:443": CLIENT,
    f'"{CLIENT}"': CLIENT,
    f"  {CLIENT}  ": CLIENT,
    f"9.9.9.9, {CLIENT}": CLIENT,
    f"9.9.9.9,{CLIENT}, 10.0.0.5": CLIENT,
    f"{CLIENT}, 10.0.0.5:80, 198.51.100.3:443, [fd00::1]:80": CLIENT,
    f"{CLIENT}, unknown": "127.0.0.1",
    f"{CLIENT}, unknown, 10.0.0.5": "10.0.0.5",
    f"{CLIENT},": "127.0.0.1",
    "unknown": "127.0.0.1",
    "203.0.113.7.9": "127.0.0.1",
    "999.0.0.1": "127.0.0.1",
    "192.168.1.5": "192.168.1.5",
    "fe80::1%eth0": "fe80::1",
    "9.9.9.9, " + "10.0.0.1, " * 1000 + "10.0.0.2": "10.0.0.1",
}

FORWARDED = {
    f"for={CLIENT}": CLIENT,
    f'for="{CLIENT}:51234"': CLIENT,
    f'For="[{CLIENT6}]:51234"': CLIENT6,
    f'for="[{CLIENT6}]";proto=https;by=203.0.113.43': CLIENT6,
    f"proto=https;for={CLIENT};by=10.0.0.1": CLIENT,
    f"for=9.9.9.9, for={CLIENT};proto=https": CLIENT,
    f"for={CLIENT}, for=10.0.0.5": CLIENT,
    f'for={CLIENT};host="a, for=9.9.9.9;x"': CLIENT,
    f'host="a;for=9.9.9.9", for={CLIENT}': CLIENT,
    f"for={CLIENT}, proto=https": "127.0.0.1",
    "for=unknown": "127.0.0.1",
    "for=_hidden": "127.0.0.1",
    'for="_gazonk"': "127.0.0.1",
    "by=203.0.113.43": "127.0.0.1",
    "": "127.0.0.1",
}


@pytest.mark.parametrize(("header", "address"), FORWARDED_FOR.items(), ids=range(len(FORWARDED_FOR)))
def test_x_forwarded_for(header: str, address: str) -> None:
    assert PROXIES.client_address("127.0.0.1", forwarded_for=header) == address


@pytest.mark.parametrize(("header", "address"), FORWARDED.items(), ids=range(len(FORWARDED)))
def test_forwarded(header: str, address: str) -> None:
    assert PROXIES.client_address("127.0.0.1", forwarded=header) == address


@pytest.mark.parametrize("peer", ["203.0.113.50", "::ffff:203.0.113.50"])
def test_headers_of_strangers_are_ignored(peer: str) -> None:
    assert PROXIES.client_address(peer, forwarded_for=CLIENT, forwarded=f"for={CLIENT}") == "203.0.113.50"
    assert TrustedProxies(()).client_address("127.0.0.1", forwarded_for=CLIENT) == "127.0.0.1"


def test_x_forwarded_for_goes_before_forwarded() -> None:
    address = PROXIES.client_address("::ffff:127.0.0.1", forwarded_for=CLIENT, forwarded="for=9.9.9.9")
    assert address == CLIENT


@pytest.mark.parametrize(("header", "address"), FORWARDED_FOR.items(), ids=range(len(FORWARDED_FOR)))
def test_the_site_and_the_worker_read_the_same_address(make_settings, engine, header: str, address: str) -> None:
    from flask import request

    from app import create_app

    settings = make_settings(
        PUBLIC_URL="https://gossip.example", TRUSTED_PROXIES=f"{PRIVATE_NETWORKS}, 198.51.100.0/24"
    )
    with create_app(settings).test_client() as client:
        client.get("/conduct", headers={"X-Forwarded-For": header})
        assert request.remote_addr == address
    environ = {"HTTP_X_FORWARDED_FOR": header}
    assert client_address(("127.0.0.1", 1234), environ, settings.socket_proxies) == address


@pytest.mark.parametrize(
    ("changed", "site", "worker"),
    [
        ({}, False, False),
        ({"PUBLIC_URL": "https://gossip.example"}, True, False),
        ({"SOCKET_URL": "wss://gossip.example/socket"}, False, True),
        ({"TRUSTED_PROXIES": "127.0.0.1"}, True, True),
        ({"TRUSTED_PROXIES": "192.0.2.1", "PUBLIC_URL": "https://gossip.example"}, False, False),
        ({"TRUSTED_PROXIES": "none", "SOCKET_URL": "wss://gossip.example/socket"}, False, False),
    ],
)
def test_who_is_trusted(make_settings, changed: dict[str, str], site: bool, worker: bool) -> None:
    settings = make_settings(**changed)
    assert settings.site_proxies.has("127.0.0.1") is site
    assert settings.socket_proxies.has("127.0.0.1") is worker
    for proxies in (settings.site_proxies, settings.socket_proxies):
        assert not proxies.has("203.0.113.9"), "a public address is never trusted by default"


@pytest.mark.parametrize("text", ["localhost", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.1;10.0.0.2"])
def test_a_setting_that_is_not_usable(make_settings, text: str) -> None:
    with pytest.raises(SettingsError, match="TRUSTED_PROXIES"):
        make_settings(TRUSTED_PROXIES=text)


def test_the_scheme_and_host_of_strangers_are_ignored(make_settings, engine) -> None:
    """A forged host would end up in links."""
    from flask import request

    from app import create_app

    headers = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
    with create_app(make_settings(PUBLIC_URL="https://gossip.example")).test_client() as client:
        client.get("/conduct", headers=headers, environ_overrides={"REMOTE_ADDR": "203.0.113.50"})
        assert (request.remote_addr, request.scheme, request.host) == ("203.0.113.50", "http", "localhost")
        client.get("/conduct", headers=headers)
        assert (request.remote_addr, request.scheme, request.host) == (CLIENT, "https", "evil.example")


def test_a_worker_takes_the_first_hop_from_the_connection() -> None:
    assert client_address(("10.0.0.9", 1), {"HTTP_FORWARDED": f"for={CLIENT}"}, PROXIES) == CLIENT
    assert client_address(SimpleNamespace(), {}, PROXIES) == ""
