"""Which pages the documentation has, in the order of its contents, and where events are described."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from flask import url_for

from app.docs import protocol_page
from shared.protocol import INCOMING, OUTGOING

Heading = tuple[str, str]
"""The anchor and the words of a section of a page."""


class Server(NamedTuple):
    """A server or program that a game can be connected with. The template is in games/snippets/."""

    slug: str
    title: str
    about: str

    @property
    def template(self) -> str:
        """The template of its lines."""
        return f"games/snippets/{self.slug.replace('-', '_')}.html"


SERVERS = (
    Server("evennia", "Evennia", "Settings and one file for a game in Evennia."),
    Server("exventure", "ExVenture and Elixir", "The configuration of ExVenture, and of any game in Elixir."),
    Server("ranvier", "Ranvier", "A bundle for a game in Ranvier."),
    Server("gossip-client", "Python, with our client", "A complete example with the library."),
    Server("websockets", "Python, without our client", "Any WebSocket library will do. This one is for asyncio."),
    Server("curl", "curl: check the connection", "Check with curl that the socket can be reached."),
    Server("websocat", "websocat: try it by hand", "Type frames in a terminal."),
)


@dataclass(frozen=True)
class DocsPage:
    """A page of the documentation.

    Attributes:
        endpoint, values: Its route.
        template: Its template; pages of one template differ in their values.
        command: What a player would type, shown above the title.
        headings: Its sections, for the contents.
    """

    title: str
    about: str
    endpoint: str
    template: str
    command: str
    values: dict[str, str] = field(default_factory=dict)
    headings: list[Heading] = field(default_factory=list)

    def address(self) -> str:
        """Return where the page is."""
        values: dict[str, Any] = {**self.values}
        return url_for(self.endpoint, **values)


@dataclass(frozen=True)
class Chapter:
    """Pages that belong together."""

    title: str
    pages: list[DocsPage]


@cache
def chapters() -> list[Chapter]:
    """Return all pages but the index and the search."""
    return [
        Chapter("Connect a game", _quick_starts()),
        Chapter("The protocol", _reference()),
        Chapter(
            "Applications and libraries",
            [
                DocsPage(
                    "Network applications",
                    "Programs that keep a copy of every channel and game, and how to get credentials for one.",
                    "docs.applications",
                    "docs/applications.html",
                    "help applications",
                    headings=[
                        ("what", "What an application can do"),
                        ("credentials", "Credentials"),
                        ("sync", "The first sync"),
                    ],
                ),
                DocsPage(
                    "Write a client",
                    "A bench that checks a client in any language, and small clients in Python and for Node.",
                    "docs.clients",
                    "docs/manual.html",
                    "help clients",
                ),
                DocsPage(
                    "Libraries for Python",
                    "gossip-client for games, gossip-backbone for applications.",
                    "docs.libraries",
                    "docs/libraries.html",
                    "help libraries",
                ),
                *(
                    DocsPage(name, about, "docs.manual", "docs/manual.html", f"help {name}", {"name": name})
                    for name, about in MANUALS.items()
                ),
            ],
        ),
        Chapter(
            "Accounts",
            [
                DocsPage(
                    "One account for all games",
                    "Let players sign in to your game with their account here, by OpenID Connect.",
                    "docs.sign_in",
                    "docs/manual.html",
                    "help sign-in",
                )
            ],
        ),
        Chapter(
            "Moderation",
            [
                DocsPage(
                    "Moderation",
                    "What moderators see and do, and what owners and players can do themselves.",
                    "docs.moderation",
                    "docs/manual.html",
                    "help moderation",
                    {},
                )
            ],
        ),
    ]


MANUALS = {
    "gossip-client": "The manual of the client for games.",
    "gossip-backbone": "The manual of the library for applications.",
}


def _quick_starts() -> list[DocsPage]:
    return [
        DocsPage(
            "Quick start",
            "Credentials, the socket's address, and three frames: for any server.",
            "docs.start",
            "docs/start.html",
            "help connect",
            headings=[("servers", "Ready-made"), ("own", "In your own server"), ("rules", "Good manners")],
        ),
        *(
            DocsPage(
                server.title,
                server.about,
                "docs.server",
                "docs/server.html",
                f"help {server.slug}",
                {"slug": server.slug},
            )
            for server in SERVERS
        ),
    ]


def _reference() -> list[DocsPage]:
    return [
        DocsPage(
            "Frames and terms",
            "What a frame is, and the words that the protocol uses.",
            "docs.protocol",
            "docs/protocol.html",
            "help protocol",
        ),
        *(
            DocsPage(
                group.title,
                _first_sentence(group.text),
                "docs.flag",
                "docs/flag.html",
                f"help {group.flag}",
                {"flag": group.flag},
                [(event.anchor, event.name) for event in group.events],
            )
            for group in protocol_page.groups()
        ),
        DocsPage(
            "Failures and close codes",
            "Every code of a failure, every code with which the socket closes, and what to do.",
            "docs.failures",
            "docs/failures.html",
            "help failures",
            headings=[("failure-codes", "Failures"), ("close-codes", "Close codes")],
        ),
        DocsPage(
            "Limits",
            "How many events a socket, a game and a player may send.",
            "docs.limits",
            "docs/limits.html",
            "help limits",
        ),
    ]


def _first_sentence(text: str) -> str:
    """Return the first sentence that says what a flag is for."""
    sentences = [part for part in text.replace("`", "").split(". ") if not part.startswith("Flag ")]
    return sentences[0].rstrip(".") + "."


def find_page(endpoint: str | None, values: dict[str, str]) -> DocsPage | None:
    """Return the page of a route."""
    for chapter in chapters():
        for page in chapter.pages:
            if page.endpoint == endpoint and page.values == values:
                return page
    return None


def flag_of(event: str) -> str:
    """Return the flag on whose page an event is described."""
    return (INCOMING.get(event) or OUTGOING[event]).flag
