"""Origins of addresses, and those that are the site's own."""

from __future__ import annotations

import pytest

from shared.origins import origin_of, site_origins


@pytest.mark.parametrize(
    ("public_url", "origin"),
    [
        ("https://gossip.example.com", "https://gossip.example.com"),
        ("https://gossip.example.com:443/", "https://gossip.example.com"),
        ("http://Gossip.Example.com:80", "http://gossip.example.com"),
        ("http://gossip.example.com:8080/below/here", "http://gossip.example.com:8080"),
        ("https://gössip.example", "https://xn--gssip-jua.example"),
        ("http://[2001:db8::7]:4100", "http://[2001:db8::7]:4100"),
    ],
)
def test_the_origin_of_an_address(public_url: str, origin: str) -> None:
    assert site_origins(public_url) == {origin}


def test_all_names_of_this_machine_are_the_same() -> None:
    origins = {"http://localhost:4100", "http://127.0.0.1:4100", "http://[::1]:4100"}
    for origin in origins:
        assert site_origins(origin) == origins


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://Gossip.Example:443/path?a#b", "https://gossip.example"),
        ("http://gossip.example:80", "http://gossip.example"),
        ("http://gossip.example:443", "http://gossip.example:443"),
        ("http://[2001:db8::1]:4100/", "http://[2001:db8::1]:4100"),
        ("https://user:secret@gossip.example/", "https://gossip.example"),
        ("https://gössip.example", "https://xn--gssip-jua.example"),
        ("https://" + 70 * "a" + ".example", None),
        ("ftp://gossip.example", None),
        ("https://", None),
        ("https://gossip.example:port/", None),
        ("", None),
    ],
)
def test_origins_are_written_as_browsers_write_them(address, origin):
    assert origin_of(address) == origin
