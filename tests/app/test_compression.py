"""Compressed responses: what is compressed, and that nothing with a secret is."""

from __future__ import annotations

import gzip
import re

import brotli
import pytest

OPENERS = {"br": brotli.decompress, "gzip": gzip.decompress}


def get(client, path: str, encoding: str, **headers: str):
    return client.get(path, headers={"Accept-Encoding": encoding, **headers})


@pytest.mark.parametrize("encoding", OPENERS)
@pytest.mark.parametrize("path", ["/docs", "/games", "/static/site.css", "/docs/asyncapi.yaml"])
def test_files_and_public_pages_are_compressed(client, path, encoding) -> None:
    plain, small = client.get(path), get(client, path, encoding)
    assert small.headers["Content-Encoding"] == encoding
    assert OPENERS[encoding](small.data) == plain.data
    assert len(small.data) < len(plain.data) and int(small.headers["Content-Length"]) == len(small.data)
    for answer in (plain, small):
        assert "Accept-Encoding" in answer.headers["Vary"]
    assert "Content-Encoding" not in plain.headers


@pytest.mark.parametrize(
    ("accepted", "used"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0.1, gzip", "gzip"),
        ("br;q=0, gzip;q=0", None),
        ("identity", None),
        ("*", "br"),
        ("zstd", None),
        ("", None),
    ],
)
def test_the_client_chooses(client, accepted, used) -> None:
    assert get(client, "/conduct", accepted).headers.get("Content-Encoding") == used


@pytest.mark.parametrize("path", ["/docs", "/static/site.css", "/docs/asyncapi.yaml"])
def test_an_etag_of_either_form_is_recognised(client, path) -> None:
    """A compressed response has a weak one, since its bytes differ."""
    etags = {encoding: get(client, path, encoding).headers["ETag"] for encoding in ("identity", "br", "gzip")}
    assert etags["br"] == etags["gzip"] == f"W/{etags['identity']}"
    for etag in etags.values():
        for encoding in etags:
            answer = get(client, path, encoding, **{"If-None-Match": etag})
            assert (answer.status_code, answer.data) == (304, b"")
            assert "Accept-Encoding" in answer.headers["Vary"]


def test_pages_that_may_hold_a_secret_are_not_compressed(client, visitor, stored) -> None:
    """Pages with a form, pages of signed-in people, and pages that may not be stored (BREACH)."""
    stored.game("Harbour", owner=stored.user("wren"))
    for path in ("/register", "/sign-in", "/reset"):
        answer = get(client, path, "br, gzip")
        assert re.search(r"csrf_token", answer.get_data(as_text=True)) and "Content-Encoding" not in answer.headers
    visitor.sign_in("wren")
    for path in ("/", "/docs", "/games/Harbour", "/manage/games/Harbour", "/chat/token.json", "/account/applications"):
        answer = get(visitor.client, path, "br, gzip")
        assert answer.status_code == 200 and "Content-Encoding" not in answer.headers, path
    assert get(visitor.client, "/static/site.css", "br").headers["Content-Encoding"] == "br"


def test_what_is_compressed_already_or_partial_is_left_alone(client) -> None:
    for path in (
        "/static/card.png",
        "/docs/libraries/gossip-client.zip",
        "/static/source-serif-4-5.3.1-latin-600.woff2",
    ):
        assert "Content-Encoding" not in get(client, path, "br").headers
    part = get(client, "/static/site.css", "br", Range="bytes=0-99")
    assert (part.status_code, len(part.data)) == (206, 100) and "Content-Encoding" not in part.headers
    head = client.head("/static/site.css", headers={"Accept-Encoding": "br"})
    assert head.status_code == 200 and "Content-Encoding" not in head.headers
