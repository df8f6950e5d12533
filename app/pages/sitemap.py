"""What search engines read: which pages there are, and which are not for them."""

from __future__ import annotations

from flask import Blueprint, Response, abort, current_app, render_template, url_for

from shared.db import reading
from shared.services import sitemap
from shared.settings import Settings

bp = Blueprint("sitemap", __name__)
PER_FILE = 10_000  # the protocol's limits are 50,000 addresses and 50 MB
KEPT_SECONDS = 600
PAGES = ("pages.home", "games.index", "channels.index", "docs.index", "pages.conduct", "transparency.index")
CLOSED = ("/account", "/admin", "/appeals", "/manage", "/moderation", "/register", "/report", "/reset", "/sign-in")


@bp.get("/robots.txt")
def robots() -> Response:
    """Everything that is public may be read; pages behind a form or an account are no use to anybody."""
    lines = ["User-agent: *", *(f"Disallow: {path}" for path in CLOSED), "", f"Sitemap: {_address('sitemap.first')}"]
    return _answer("\n".join(lines) + "\n", "text/plain")


@bp.get("/sitemap.xml")
def first() -> Response:
    """All public pages; if they are too many for one file, an index of files."""
    with reading() as session:
        parts = _parts(sitemap.count_public(session))
    if parts == 1:
        return _part(1)
    addresses = [_address("sitemap.part", number=number) for number in range(1, parts + 1)]
    return _answer(render_template("pages/sitemap_index.xml", addresses=addresses), "application/xml")


@bp.get("/sitemap-<int:number>.xml")
def part(number: int) -> Response:
    """One of the files of the index."""
    with reading() as session:
        if not 1 <= number <= _parts(sitemap.count_public(session)):
            abort(404)
    return _part(number)


def _part(number: int) -> Response:
    """The site's own pages come first of all, in the first file."""
    start = (number - 1) * PER_FILE
    addresses = [_address(endpoint) for endpoint in PAGES][start : start + PER_FILE]
    with reading() as session:
        found = sitemap.list_public(session, start=max(0, start - len(PAGES)), limit=PER_FILE - len(addresses))
    places = {
        "channel": ("channels.show", "name"),
        "game": ("games.show", "short_name"),
        "player": ("players.show", "username"),
    }
    for kind, name in found:
        endpoint, argument = places[kind]
        addresses.append(_address(endpoint, **{argument: name}))
    return _answer(render_template("pages/sitemap.xml", addresses=addresses), "application/xml")


def _parts(records: int) -> int:
    return -(-(records + len(PAGES)) // PER_FILE)


def _address(endpoint: str, **values: str | int) -> str:
    settings: Settings = current_app.extensions["settings"]
    return settings.public_url + url_for(endpoint, **values)  # type: ignore[arg-type]


def _answer(body: str, mimetype: str) -> Response:
    return Response(body, mimetype=mimetype, headers={"Cache-Control": f"public, max-age={KEPT_SECONDS}"})
