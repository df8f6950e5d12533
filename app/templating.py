"""What all templates share: addresses of assets, the network's address, filters for text and times."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, current_app, make_response, render_template, request, session, url_for
from flask_login import current_user
from flask_wtf import FlaskForm
from jinja2 import StrictUndefined
from markupsafe import Markup, escape

from app.raid_notice import current_raid
from shared.services import software
from shared.settings import Settings

SITE_NAME = "Gossip"
ASSET_SECONDS = 365 * 24 * 3600
ADDRESSES_KEPT = 10_000
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def init_app(app: Flask) -> None:
    """Configure Jinja. Assets are cached for a year, since their addresses change with their content."""
    settings: Settings = app.extensions["settings"]
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = ASSET_SECONDS
    folder = Path(app.static_folder or "static")
    digests = {path.name: _digest(path) for path in folder.iterdir() if path.is_file()}
    address_of = remembering_addresses()
    app.jinja_env.globals["url_for"] = address_of

    def asset(name: str) -> str:
        return address_of("static", filename=name, v=digests[name])

    @app.context_processor
    def shared_values() -> dict[str, object]:
        return {
            "asset": asset,
            "site_name": SITE_NAME,
            "socket_url": settings.socket_url,
            "chat_socket_url": settings.chat_socket_url,
            # Two heartbeats, and time for the second one to arrive.
            "chat_silence_seconds": max(35.0, 2 * settings.heartbeat_seconds + 5),
            "public_url": settings.public_url,
            "public_origin": settings.public_origin,
            "bare": False,
            "form": None,
        }

    app.add_template_global(page_query)
    app.url_defaults(avoid_form_address)
    app.template_filter("paragraphs")(paragraphs)
    app.template_filter("xml_text")(xml_text)
    app.template_filter("software_name")(software.name_of)
    app.template_filter("bare_address")(bare_address)
    app.template_test("web_address")(is_web_address)


def remembering_addresses() -> Callable[..., str]:
    """Return a `url_for` for templates that remembers what it returned: 1 µs instead of 15, and pages have hundreds."""

    @lru_cache(ADDRESSES_KEPT)
    def build(_root: str, endpoint: str, values: tuple[tuple[str, Any], ...]) -> str:
        return url_for(endpoint, **dict(values))

    def address_of(endpoint: str, **values: Any) -> str:
        if endpoint.startswith("."):  # relative to the page's blueprint
            endpoint = f"{request.blueprint}{endpoint}"
        return build(request.root_path, endpoint, tuple(values.items()))

    return address_of


def avoid_form_address(_endpoint: str, values: dict[str, object]) -> None:
    """Write a record named `new` as `New` in addresses: `/new` is a form, and names match without case."""
    for key in ("short_name", "name"):
        if values.get(key) == "new":
            values[key] = "New"


def form_page(template: str, form: FlaskForm, **context: object) -> tuple[str, int]:
    """Return a page with a form, with status 200 for GET and 422 for a POST that was not accepted."""
    return render_template(template, form=form, **context), 422 if request.method == "POST" else 200


def fixed_page(template: str, make_context: Callable[[], dict[str, object]] = dict, *, variant: str = "") -> Response:
    """Return a page that only depends on the settings and on who is signed in.

    It is rendered once per process for signed-out visitors, so its template must not show them a form. They may ask
    with its ETag whether it is still the same.

    Args:
        variant: Tells pages of one template apart. There must be a fixed number of them.
    """
    if current_user.is_authenticated or "_flashes" in session or current_raid() is not None:
        return make_response(render_template(template, **make_context()))
    pages: dict[tuple[str, str, str], tuple[bytes, str]] = current_app.extensions.setdefault("fixed_pages", {})
    key = (template, variant, request.root_path)
    if key not in pages:
        body = render_template(template, **make_context()).encode()
        pages[key] = body, hashlib.sha256(body).hexdigest()[:32]
    body, mark = pages[key]
    response = Response(body, mimetype="text/html")
    response.set_etag(mark)
    response.make_conditional(request)
    return response


def secret_page(page: str, status: int = 200) -> Response:
    """Return a page that shows a secret. No cache may store it."""
    return Response(page, status, headers={"Cache-Control": "no-store"}, mimetype="text/html")


def page_query() -> str:
    """Return the query of a page's canonical address: the number of a further page of a list, and nothing else."""
    number = request.args.get("page", "")
    is_further = number.isascii() and number.isdecimal() and len(number) <= 6 and int(number) > 1
    return f"?page={number}" if is_further else ""


def paragraphs(text: str | None) -> Markup:
    """Return plain text as HTML. Blank lines separate paragraphs, line breaks stay, everything else is escaped."""
    blocks = [block.strip() for block in (text or "").replace("\r\n", "\n").split("\n\n")]
    return Markup("\n").join(
        Markup('<p dir="auto">{}</p>').format(Markup("<br>").join(escape(line) for line in block.split("\n")))
        for block in blocks
        if block
    )


def xml_text(text: str | None) -> str:
    """Return the text without characters that XML does not allow, even escaped."""
    return _NOT_IN_XML.sub("", text or "")


def bare_address(address: str) -> str:
    """Return an address as people say it: without the scheme, and without a slash at the end."""
    return address.partition("://")[2].rstrip("/")


def is_web_address(text: str | None) -> bool:
    """Return whether a text may be used as a link. Services accept no other addresses; pages check again."""
    return bool(text) and str(text).lower().startswith(("http://", "https://"))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10]
