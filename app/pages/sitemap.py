"""robots.txt and the sitemap for search engines."""

from __future__ import annotations

from flask import Blueprint, Response, abort, current_app, render_template, request, url_for

from shared.db import reading
from shared.services import sitemap
from shared.settings import Settings

bp = Blueprint("sitemap", __name__)
PER_FILE = 10_000  # sitemaps.org allows 50,000 addresses and 50 MB
CACHE_SECONDS = 600
PAGES = (
    "pages.home",
    "games.index",
    "chat.index",
    "docs.index",
    "pages.conduct",
    "transparency.index",
    "pages.contact",
    "pages.privacy",
)
CLOSED = ("/account", "/admin", "/appeals", "/manage", "/moderation", "/register", "/report", "/reset", "/sign-in")


@bp.get("/robots.txt")
def robots() -> Response:
    """Allow all public pages. Pages that need a form or an account are of no use in a search engine."""
    root = request.script_root
    lines = [
        "User-agent: *",
        *(f"Disallow: {root}{path}" for path in CLOSED),
        "",
        f"Sitemap: {_address('sitemap.first')}",
    ]
    return _response("\n".join(lines) + "\n", "text/plain")


@bp.get("/sitemap.xml")
def first() -> Response:
    """List all public pages, or an index of files if one file cannot hold them."""
    with reading() as session:
        parts = _count_parts(sitemap.count_public(session))
    if parts == 1:
        return _part(1)
    addresses = [_address("sitemap.part", number=number) for number in range(1, parts + 1)]
    return _response(render_template("pages/sitemap_index.xml", addresses=addresses), "application/xml")


@bp.get("/sitemap-<int:number>.xml")
def part(number: int) -> Response:
    """Return one of the files of the index."""
    with reading() as session:
        if not 1 <= number <= _count_parts(sitemap.count_public(session)):
            abort(404)
    return _part(number)


def _part(number: int) -> Response:
    """Return a file of the sitemap. The pages in PAGES come first, in the first file."""
    start = (number - 1) * PER_FILE
    addresses = [_address(endpoint) for endpoint in PAGES][start : start + PER_FILE]
    with reading() as session:
        records = sitemap.list_public(session, start=max(0, start - len(PAGES)), limit=PER_FILE - len(addresses))
    endpoints = {
        "channel": ("channels.show", "name"),
        "game": ("games.show", "short_name"),
        "player": ("players.show", "username"),
    }
    for kind, name in records:
        endpoint, argument = endpoints[kind]
        addresses.append(_address(endpoint, **{argument: name}))
    return _response(render_template("pages/sitemap.xml", addresses=addresses), "application/xml")


def _count_parts(records: int) -> int:
    return -(-(records + len(PAGES)) // PER_FILE)


def _address(endpoint: str, **values: str | int) -> str:
    settings: Settings = current_app.extensions["settings"]
    return settings.public_origin + url_for(endpoint, **values)  # type: ignore[arg-type]


def _response(body: str, mimetype: str) -> Response:
    return Response(body, mimetype=mimetype, headers={"Cache-Control": f"public, max-age={CACHE_SECONDS}"})
