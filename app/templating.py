"""What templates know beside their own values: addresses of assets, the network's address, text and time filters."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask, Response, render_template, request, url_for
from flask_wtf import FlaskForm
from jinja2 import StrictUndefined
from markupsafe import Markup, escape

from shared.settings import Settings

SITE_NAME = "Gossip"
ASSET_SECONDS = 365 * 24 * 3600
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def init_app(app: Flask) -> None:
    """Set the templates' surroundings up; assets are cached for a year, their addresses change with their content."""
    settings: Settings = app.extensions["settings"]
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = ASSET_SECONDS
    folder = Path(app.static_folder or "static")
    marks = {path.name: _mark(path) for path in folder.iterdir() if path.is_file()}

    def asset(name: str) -> str:
        return url_for("static", filename=name, v=marks[name])

    @app.context_processor
    def surroundings() -> dict[str, object]:
        return {
            "asset": asset,
            "site_name": SITE_NAME,
            "socket_url": settings.socket_url,
            "public_url": settings.public_url,
            "bare": False,
            "form": None,
        }

    app.url_defaults(keep_clear_of_forms)
    app.template_filter("paragraphs")(paragraphs)
    app.template_filter("day")(day)
    app.template_filter("ago")(ago)
    app.template_filter("xml_text")(xml_text)
    app.template_test("web_address")(is_web_address)


def keep_clear_of_forms(_endpoint: str, values: dict[str, object]) -> None:
    """Spell a record called `new` as `New` in addresses: names match in any case, and `/new` is a form."""
    for key in ("short_name", "name"):
        if values.get(key) == "new":
            values[key] = "New"


def form_page(template: str, form: FlaskForm, **context: object) -> tuple[str, int]:
    """A page with a form: 200 when it is asked for, 422 when what was sent could not be taken."""
    return render_template(template, form=form, **context), 422 if request.method == "POST" else 200


def secret_page(page: str, status: int = 200) -> Response:
    """A page that shows a secret, which no cache may keep."""
    return Response(page, status, headers={"Cache-Control": "no-store"}, mimetype="text/html")


def paragraphs(text: str | None) -> Markup:
    """Plain text as HTML: blank lines part paragraphs, line breaks stay, nothing else means anything."""
    blocks = [block.strip() for block in (text or "").replace("\r\n", "\n").split("\n\n")]
    return Markup("\n").join(
        Markup("<p>{}</p>").format(Markup("<br>").join(escape(line) for line in block.split("\n")))
        for block in blocks
        if block
    )


def xml_text(text: str | None) -> str:
    """A text without what XML cannot hold at all, not even escaped."""
    return _NOT_IN_XML.sub("", text or "")


def day(moment: datetime | None) -> str:
    """A date for people, such as 3 May 2025, in UTC."""
    if moment is None:
        return "never"
    utc = moment.astimezone(UTC) if moment.tzinfo else moment
    return f"{utc.day} {utc:%B %Y}"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago something was, in words; a date when it is longer than a month."""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    for unit, size, most in (("minute", 60, 60), ("hour", 3600, 24), ("day", 86_400, 31)):
        count = int(seconds // size)
        if count < most:
            return "a moment ago" if count < 1 else f"{count} {unit}{'' if count == 1 else 's'} ago"
    return f"on {day(moment)}"


def is_web_address(text: str | None) -> bool:
    """True for what may stand in a link: records hold no other address, and no page should rely on that."""
    return bool(text) and str(text).lower().startswith(("http://", "https://"))


def _mark(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10]
