"""The pages of the documentation, its search, and the protocol as an AsyncAPI document."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from flask import Blueprint, abort, current_app, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.docs import markdown, pages, protocol_page, search
from app.docs.files import public_file
from app.docs.pages import DocsPage
from app.templating import fixed_page
from shared.limits import APPLICATION_FACTOR
from shared.protocol.asyncapi import document
from shared.protocol.catalogue import frame_kinds
from shared.protocol.codes import CLOSE_CODES, Code
from shared.protocol.core import PROTOCOL_VERSION
from shared.settings import Settings

bp = Blueprint("docs", __name__, url_prefix="/docs")
ROOT = Path(__file__).resolve().parents[2]
FILES = {"docs.moderation": "moderation.md", "docs.clients": "client-authors.md", "docs.sign_in": "sign-in.md"}
"""The pages that are files of `docs/`."""


@bp.get("")
def index() -> ResponseReturnValue:
    """Show what the documentation has. Addresses of the time when it was one page lead on from here."""
    return fixed_page("docs/index.html", lambda: {"chapters": pages.chapters(), "codes": list(Code), "page": None})


@bp.get("/start")
def start() -> ResponseReturnValue:
    """Show how to connect any game."""
    return _page()


@bp.get("/start/<slug>")
def server(slug: str) -> ResponseReturnValue:
    """Show how to connect a game that runs on a known server."""
    return _page(slug=slug)


@bp.get("/protocol")
def protocol() -> ResponseReturnValue:
    """Show the protocol's terms."""
    return _page()


@bp.get("/protocol/<flag>")
def flag(flag: str) -> ResponseReturnValue:
    """Show the events of one support flag."""
    return _page(flag=flag)


@bp.get("/protocol/failures")
def failures() -> ResponseReturnValue:
    """Show every code of failures and closes."""
    return _page()


@bp.get("/protocol/limits")
def limits() -> ResponseReturnValue:
    """Show the rate limits of this network."""
    return _page()


@bp.get("/applications")
def applications() -> ResponseReturnValue:
    """Show what network applications are."""
    return _page()


@bp.get("/clients")
def clients() -> ResponseReturnValue:
    """Show how to write a client, and to check it."""
    return _page()


@bp.get("/libraries")
def libraries() -> ResponseReturnValue:
    """Show the libraries and how to install them."""
    return _page()


@bp.get("/libraries/<name>")
def manual(name: str) -> ResponseReturnValue:
    """Show a library's manual."""
    return _page(name=name)


@bp.get("/moderation")
def moderation() -> ResponseReturnValue:
    """Show the handbook of moderation."""
    return _page()


@bp.get("/sign-in")
def sign_in() -> ResponseReturnValue:
    """Show how games sign people in with their account."""
    return _page()


@bp.get("/search")
def find() -> ResponseReturnValue:
    """Search the documentation."""
    words = " ".join(request.args.get("q", "").split())[:100]
    return render_template(
        "docs/search.html",
        q=words,
        results=search.find(_sections(), words),
        chapters=pages.chapters(),
        page=None,
    )


@bp.get("/asyncapi.yaml")
def asyncapi() -> ResponseReturnValue:
    """Return the protocol as an AsyncAPI document."""
    settings: Settings = current_app.extensions["settings"]
    return public_file(yaml_document(settings.socket_url), "application/yaml")


def event_url(event: str) -> str:
    """Return the address of an event's description."""
    return url_for("docs.flag", flag=pages.flag_of(event), _anchor=event.replace("/", "-"))


def _page(**values: str) -> ResponseReturnValue:
    """Return the page of this route."""
    page = pages.find_page(request.endpoint, values)
    if page is None:
        abort(404)
    return fixed_page(page.template, lambda: _context(page), variant="/".join([page.endpoint, *values.values()]))


def _context(page: DocsPage) -> dict[str, object]:
    settings: Settings = current_app.extensions["settings"]
    context: dict[str, object] = {
        "page": page,
        "chapters": pages.chapters(),
        "version": PROTOCOL_VERSION,
        "settings": settings,
        "examples": {kind.name: kind.example for kind in frame_kinds()},
        "headings": page.headings,
    }
    match page.endpoint:
        case "docs.start":
            context["servers"] = pages.SERVERS
        case "docs.server":
            context["server"] = next(server for server in pages.SERVERS if server.slug == page.values["slug"])
        case "docs.flag":
            context["group"] = next(group for group in protocol_page.groups() if group.flag == page.values["flag"])
        case "docs.failures":
            context |= {"failures": protocol_page.failures(), "close_codes": CLOSE_CODES}
        case "docs.limits":
            context |= {
                "limits": protocol_page.limits(settings.limits),
                "application_factor": APPLICATION_FACTOR,
            }
        case "docs.manual" | "docs.moderation" | "docs.clients" | "docs.sign_in":
            manual = _render_manual(page, settings)
            context |= {"manual": manual, "headings": manual.headings}
    return context


def _render_manual(page: DocsPage, settings: Settings) -> markdown.Manual:
    if page.endpoint in FILES:
        path = ROOT / "docs" / FILES[page.endpoint]
    else:
        path = ROOT / "libraries" / page.values["name"] / "README.md"
    if not path.is_file():
        abort(404)
    return markdown.render(
        path.read_text(),
        links={
            "protocol.md": url_for("docs.protocol"),
            "../libraries/gossip-client/README.md": url_for("docs.manual", name="gossip-client"),
            **{file: url_for(endpoint) for endpoint, file in FILES.items()},
        },
        examples={"https://example.com": settings.public_url, "wss://example.com/socket": settings.socket_url},
    )


def _sections() -> list[search.Section]:
    """Return the sections of all pages. They are rendered once per process."""
    indexes: dict[str, list[search.Section]] = current_app.extensions.setdefault("docs_sections", {})
    root = request.root_path
    if root not in indexes:
        indexes[root] = [
            section
            for chapter in pages.chapters()
            for page in chapter.pages
            for section in search.split(
                page.title,
                page.address(),
                render_template(page.template, **_context(page)),
            )
        ]
    return indexes[root]


@cache
def yaml_document(socket_url: str) -> str:
    """Return the document as YAML, with its keys in their original order."""
    text: str = yaml.dump(
        document(socket_url, PROTOCOL_VERSION), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Repeats values instead of using YAML aliases, which are hard to read."""

    def ignore_aliases(self, data: object) -> bool:
        return True
