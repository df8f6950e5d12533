"""The protocol's page and its YAML show the classes' documentation and the frames from the tests."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
import yaml

from app.docs import protocol_page
from shared.limits import DEFAULTS
from shared.protocol import INCOMING, OUTGOING
from shared.protocol.asyncapi import document
from shared.protocol.catalogue import Kind, anchor, frame_kinds, record_of
from shared.protocol.codes import CLOSE_CODES, SENTENCES
from shared.protocol.core import PROTOCOL_VERSION


@pytest.fixture
def page(client) -> str:
    answer = client.get("/docs")
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def examples(page: str) -> dict[str, Any]:
    """The frames on the page, by name."""
    blocks = re.findall(r'<pre tabindex="0" id="([^"]+)"><code>(.*?)</code></pre>', page, re.DOTALL)
    return {name: json.loads(html.unescape(text)) for name, text in blocks}


def text_of(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", markup))


def test_every_frame_is_shown_as_the_tests_send_it(page: str) -> None:
    shown = examples(page)
    for kind in frame_kinds():
        if kind.kind is not Kind.FAILURE:
            assert shown.pop(kind.name) == kind.example
            for number, further in enumerate(kind.further, 1):
                assert shown.pop(f"{kind.name}.{number}") == further
    failure = next(kind for kind in frame_kinds() if kind.name == "channels-subscribe.failure")
    assert shown == {failure.name: failure.example}


def test_every_event_has_an_anchor_and_a_link(page: str) -> None:
    for event in {*INCOMING, *OUTGOING}:
        assert f'<h3 id="{anchor(event)}">' in page
        assert f'<li><a href="#{anchor(event)}">{event}</a></li>' in page


def test_links_within_the_page_have_a_target(page: str) -> None:
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_every_field_has_a_row_with_a_meaning(page: str) -> None:
    articles = dict(re.findall(r'<article class="event" aria-labelledby="([^"]+)">(.*?)</article>', page, re.DOTALL))
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


def test_optional_fields_are_marked(page: str) -> None:
    authenticate = page[page.index('<h3 id="authenticate">') : page.index('<h3 id="heartbeat">')]
    row = re.compile(r"<tr><th scope=\"row\"><code>(\w+)</code></th><td>(.*?)</td>")
    optional = {name for name, about in row.findall(authenticate) if "optional" in about}
    assert {"client_id", "client_secret", "supports"}.isdisjoint(optional)
    assert {"channels", "players", "version", "debug", "sync", "ignored"} <= optional


def test_codes_are_listed_with_their_sentences(page: str) -> None:
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
    page = create_app(changed).test_client().get("/docs").get_data(as_text=True)
    assert "<code>tells/send</code></th><td>player</td><td>7</td><td>1 in 4 s</td>" in page
    assert "<code>channels/send</code></th><td>game</td><td>100</td><td>20 a second</td>" in page
    assert "switched them off" not in page


def test_every_limit_belongs_to_an_event_on_the_page() -> None:
    """Readers look for the event above."""
    rows = protocol_page.limits(DEFAULTS)
    assert len(rows) == len(DEFAULTS)
    assert {row.event for row in rows} <= {*INCOMING, None}
    assert all(row.of_each.split(",")[0] in ("socket", "player", "game") for row in rows)


def test_the_page_is_light_enough(page: str) -> None:
    assert len(page.encode()) < 100 * 1024


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
