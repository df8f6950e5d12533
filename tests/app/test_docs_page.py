"""The documentation: its pages, its search, and the protocol, which is generated from the classes of its frames."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
import yaml

from app.docs import markdown, pages, protocol_page, search
from shared.limits import DEFAULTS
from shared.protocol import INCOMING, OUTGOING
from shared.protocol.asyncapi import document
from shared.protocol.catalogue import Kind, anchor, frame_kinds, record_of
from shared.protocol.codes import CLOSE_CODES, SENTENCES
from shared.protocol.core import PROTOCOL_VERSION

FLAG_PAGES = [f"/docs/protocol/{flag}" for flag in protocol_page.FLAGS]


def address_of(page: pages.DocsPage) -> str:
    """The address of a page, without an app."""
    place = {
        "docs.start": "/start",
        "docs.server": "/start/{slug}",
        "docs.flag": "/protocol/{flag}",
        "docs.failures": "/protocol/failures",
        "docs.limits": "/protocol/limits",
        "docs.manual": "/libraries/{name}",
        "docs.sign_in": "/sign-in",
    }.get(page.endpoint, f"/{page.endpoint.removeprefix('docs.')}")
    return "/docs" + place.format(**page.values)


ALL = ["/docs", *(address_of(page) for chapter in pages.chapters() for page in chapter.pages)]


@pytest.fixture
def read(client):
    def read(path: str) -> str:
        answer = client.get(path)
        assert answer.status_code == 200, path
        return answer.get_data(as_text=True)

    return read


@pytest.fixture
def protocol(read) -> str:
    """All pages that describe events, and the failures."""
    return "".join(map(read, [*FLAG_PAGES, "/docs/protocol/failures"]))


def examples(page: str) -> dict[str, Any]:
    """The frames on the page, by name."""
    blocks = re.findall(r'<pre tabindex="0" id="([^"]+)"><code>(.*?)</code></pre>', page, re.DOTALL)
    return {name: json.loads(html.unescape(text)) for name, text in blocks}


def text_of(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", markup))


def test_every_frame_is_shown_as_the_tests_send_it(protocol: str) -> None:
    shown = examples(protocol)
    for kind in frame_kinds():
        if kind.kind is not Kind.FAILURE:
            assert shown.pop(kind.name) == kind.example
            for number, further in enumerate(kind.further, 1):
                assert shown.pop(f"{kind.name}.{number}") == further
    failure = next(kind for kind in frame_kinds() if kind.name == "channels-subscribe.failure")
    assert shown == {failure.name: failure.example}


def test_every_event_has_an_anchor_and_a_link(read) -> None:
    index = read("/docs")
    for event, cls in {**OUTGOING, **INCOMING}.items():
        address = f"/docs/protocol/{cls.flag}"
        assert f'<h2 id="{anchor(event)}">' in read(address)
        assert f'<li id="{anchor(event)}" data-moved><a href="{address}#{anchor(event)}">{event}</a></li>' in index


def test_anchors_of_the_time_when_it_was_one_page_lead_to_the_pages(read) -> None:
    """With a script at once, without one by a link at the same place."""
    index = read("/docs")
    moved = dict(re.findall(r'<li id="([^"]+)" data-moved>\s*(?:<h3>)?<a href="([^"]+)">', index))
    expected = {anchor(event) for event in {*INCOMING, *OUTGOING}} | {*SENTENCES}
    expected |= {f"flag-{flag}" for flag in protocol_page.FLAGS}
    assert set(moved) == expected | {"start", "words", "libraries", "failure-codes", "close-codes", "limits"}
    for address in moved.values():
        path, _, fragment = address.partition("#")
        assert not fragment or f' id="{fragment}"' in read(path)


@pytest.mark.parametrize("path", ALL)
def test_links_within_a_page_have_a_target(read, path: str) -> None:
    page = read(path)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_links_between_pages_have_a_target(read) -> None:
    for path in ALL:
        for address in set(re.findall(r'href="(/docs[^"]*)"', read(path))):
            target, _, fragment = html.unescape(address).partition("#")
            if not target.endswith((".zip", ".yaml")):
                assert not fragment or f' id="{fragment}"' in read(target), (path, address)


@pytest.mark.parametrize("path", ALL)
def test_every_example_has_a_button_that_copies_it(read, path: str) -> None:
    page = read(path)
    assert page.count("<pre") == page.count('class="copy-box"') == page.count("copy-button")


@pytest.mark.parametrize("path", ["/docs/start/nothing", "/docs/protocol/nothing", "/docs/libraries/nothing"])
def test_unknown_pages_are_missing(client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_every_field_has_a_row_with_a_meaning(protocol: str) -> None:
    articles = dict(
        re.findall(r'<article class="event" aria-labelledby="([^"]+)">(.*?)</article>', protocol, re.DOTALL)
    )
    for cls in (*INCOMING.values(), *OUTGOING.values()):
        rows = dict(
            re.findall(
                r'<tr><th scope="row"><code>(\w+)</code></th><td>.*?</td><td>(.*?)</td></tr>',
                articles[anchor(cls.event)],
            )
        )
        fields = {*cls.__struct_fields__}
        if (record := record_of(cls)) is not None:
            fields |= {*record.__struct_fields__}
        assert fields <= set(rows)
        assert all(rows.values()), cls.event


def test_optional_fields_are_marked(read) -> None:
    page = read("/docs/protocol/core")
    authenticate = page[page.index('<h2 id="authenticate">') : page.index('<h2 id="heartbeat">')]
    row = re.compile(r"<tr><th scope=\"row\"><code>(\w+)</code></th><td>(.*?)</td>")
    optional = {name for name, about in row.findall(authenticate) if "optional" in about}
    assert {"client_id", "client_secret", "supports"}.isdisjoint(optional)
    assert {"channels", "players", "version", "debug", "sync", "ignored"} <= optional


def test_codes_are_listed_with_their_sentences(read) -> None:
    page = read("/docs/protocol/failures")
    for code, sentences in SENTENCES.items():
        row = re.search(rf'<tr id="{code}">(.*?)</tr>', page)
        assert row and all(sentence in text_of(row[1]) for sentence in sentences), code
    for code, close in CLOSE_CODES.items():
        row = re.search(rf'<tr><th scope="row">{code}</th>(.*?)</tr>', page)
        assert row and text_of(row[1]) == (close.meaning + close.advice).replace("`", "")


def test_the_page_shows_the_configured_limits(make_settings, engine) -> None:
    """Not the defaults."""
    from app import create_app

    changed = make_settings(LIMITS="tells/send:player=7/0.25", RATE_LIMITS="on")
    page = create_app(changed).test_client().get("/docs/protocol/limits").get_data(as_text=True)
    assert "<code>tells/send</code></th><td>player</td><td>7</td><td>1 in 4 s</td>" in page
    assert "<code>channels/send</code></th><td>game</td><td>100</td><td>20 a second</td>" in page
    assert "switched them off" not in page


def test_every_limit_belongs_to_an_event_on_the_page() -> None:
    """Readers look for the event above."""
    rows = protocol_page.limits(DEFAULTS)
    assert len(rows) == len(DEFAULTS)
    assert {row.event for row in rows} <= {*INCOMING, None}
    assert all(row.of_each.split(",")[0] in ("socket", "player", "game") for row in rows)


@pytest.mark.parametrize("path", ALL)
def test_a_page_is_light_enough(read, path: str) -> None:
    assert len(read(path).encode()) < 32 * 1024


def test_the_manual_of_a_library_is_its_readme(read, settings) -> None:
    """One source. Its addresses are this network's."""
    page = read("/docs/libraries/gossip-client")
    assert '<h2 id="when-the-connection-is-lost">' in page
    assert f"pip install {settings.public_url}/docs/libraries/gossip-client.zip" in page
    assert f"doctor --url {settings.socket_url}" in page
    assert "example.com" not in page[page.index('id="docs-text"') :].replace("wss://example.com/socket&quot;", "")
    assert "<h2" in read("/docs/moderation")
    page = read("/docs/clients")
    assert "import asyncio" in page and 'href="/docs/libraries/gossip-client"' in page and "example.com" not in page


def test_markdown_is_rendered_safely() -> None:
    manual = markdown.render(
        "# A `title`\n\n## Part *one*\n\n<script>x</script> [in](other.md#a) [out](gone.md) [web](https://a.bc) "
        "[bad](javascript:x)\n\n```\nconnect <here>\n```\n",
        links={"other.md": "/docs/other"},
        examples={"<here>": "<there>"},
    )
    table = markdown.render("| | b |\n| --- | --- |\n| c | d |\n").text
    assert "<td></td>" in table and "<th>b</th>" in table
    assert manual.title == "A `title`"
    assert "<script>" not in manual.text and "&lt;script&gt;" in manual.text
    assert '<a href="/docs/other#a">in</a> out <a href="https://a.bc">web</a>' in manual.text
    assert 'href="javascript' not in manual.text
    assert "<code>connect &lt;there&gt;</code>" in manual.text


def results(page: str) -> list[str]:
    return re.findall(r'<h2><a href="([^"]+)">', page)


def test_the_search_finds_sections(read) -> None:
    """The section with the title first. All words must occur."""
    assert results(read("/docs/search?q=Channels/Send"))[0] == "/docs/protocol/channels#channels-send"
    assert results(read("/docs/search?q=rate-limited"))[0] == "/docs/protocol/failures#rate-limited"
    assert "/docs/libraries/gossip-client#threads-and-processes" in results(read("/docs/search?q=forked+thread"))
    assert results(read("/docs/search?q=ranvier+bundle"))[0] == "/docs/start/ranvier"
    assert "Nothing has all of these words" in read("/docs/search?q=ranvier+xyzzy")
    assert results(read("/docs/search")) == []
    nasty = read("/docs/search?q=%3Cscript%3E")
    assert "<script>" not in nasty.replace('<script src="', "")


def test_an_excerpt_marks_the_words() -> None:
    section = search.Section("Page", "Title", "/x", "word " * 40 + "A <b>needle</b> in the hay. " + "word " * 80)
    (found,) = search.find([section], "NEEDLE hay")
    assert "<mark>needle</mark>&lt;/b&gt; in the <mark>hay</mark>" in found.excerpt
    assert found.excerpt.startswith("… ") and found.excerpt.endswith(" …") and len(found.excerpt) < 400
    (found,) = search.find([search.Section("Page", "Title", "/x", "Straße " * 3)], "page")
    assert found.excerpt == "Straße Straße Straße"


def test_the_yaml_is_the_document(client, settings) -> None:
    answer = client.get("/docs/asyncapi.yaml")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert answer.mimetype == "application/yaml"
    assert yaml.safe_load(text) == document(settings.socket_url, PROTOCOL_VERSION)
    assert text.startswith("asyncapi: 3.0.0\n") and "&id0" not in text


def test_the_yaml_is_not_sent_again(client) -> None:
    """A client that has it gets 304."""
    first = client.get("/docs/asyncapi.yaml")
    assert "max-age" in first.headers["Cache-Control"]
    again = client.get("/docs/asyncapi.yaml", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert client.get("/docs/asyncapi.yaml", headers={"If-None-Match": '"another"'}).status_code == 200
