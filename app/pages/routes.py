"""The home page, the rules of conduct, and the pages that an operator fills: contact and privacy."""

from __future__ import annotations

import json
import random
from pathlib import Path

from flask import Blueprint, Response, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from app.accounts.identity import viewer_id
from app.chat.overview import recent_lines
from app.docs import markdown
from app.docs.files import public_file
from app.games.overview import read_overview
from app.online import online_now
from app.pages.live import messages_today
from app.templating import ASSET_SECONDS, SITE_NAME, fixed_page
from shared.db import reading, utc_now
from shared.services import channels
from shared.services.authority import actors
from shared.services.moderation import ignored_speakers
from shared.settings import Settings

bp = Blueprint("pages", __name__)
SHOWN_CHANNELS = 24
SHOWN_CHANNEL = "gossip"  # whose last lines the home page shows
SHOWN_LINES = 6


@bp.get("/")
def home() -> ResponseReturnValue:
    """Show what the network is, and what is happening on it now."""
    now = online_now()
    with reading() as session:
        overview = read_overview(session, now)
        previous = request.args.get("not", "").lower()
        shown_channel = channels.find_by_name(overview.channels, SHOWN_CHANNEL)
        last_lines = recent_lines(session, overview.channels).get(shown_channel.id, []) if shown_channel else []
        ignored = ignored_speakers.ignored_by(session, actors.of_user(session, viewer_id()))
        last_lines = [line for line in last_lines if not ignored.covers(line)][:SHOWN_LINES]
        others = [game for game in overview.picked if game.short_name.lower() != previous]
        return render_template(
            "pages/home.html",
            online=now.games,
            games_total=len(overview.ids),
            games_online=len(overview.online),
            players_online=overview.players_online,
            messages_today=messages_today(session, now=utc_now()),
            picked=random.choice(others or overview.picked) if overview.picked else None,
            can_pick_another=len(overview.picked) > 1,
            games=overview.public.newest,
            channels=overview.channels,
            channels_shown=SHOWN_CHANNELS,
            shown_channel=shown_channel,
            last_lines=last_lines[::-1],
        )


@bp.get("/conduct")
def conduct() -> ResponseReturnValue:
    """Show the rules of conduct."""
    return fixed_page("pages/conduct.html")


@bp.get("/contact")
def contact() -> ResponseReturnValue:
    """Show who runs the network, and whom to ask about what."""
    settings: Settings = current_app.extensions["settings"]
    return fixed_page("pages/contact.html", lambda: {"settings": settings, "more": _text_of(settings.contact_file)})


@bp.get("/privacy")
def privacy() -> ResponseReturnValue:
    """Show what the network stores about people."""
    settings: Settings = current_app.extensions["settings"]
    return fixed_page("pages/privacy.html", lambda: {"settings": settings, "more": _text_of(settings.privacy_file)})


@bp.get("/manifest.webmanifest")
def manifest() -> ResponseReturnValue:
    """Describe the site to a device that installs it like an app."""
    icons = [
        {"src": url_for("static", filename=f"icon-{size}.png"), "sizes": f"{size}x{size}", "type": "image/png"}
        for size in (192, 512)
    ]
    about = {
        "name": SITE_NAME,
        "short_name": SITE_NAME,
        "description": "A chat network for text games",
        "start_url": url_for("chat.index"),
        "scope": url_for("pages.home"),
        "display": "standalone",
        "background_color": "#fbf6ee",
        "theme_color": "#fbf6ee",
        "icons": icons,
    }
    return public_file(json.dumps(about), "application/manifest+json")


@bp.get("/icon-<int:count>.svg")
def icon(count: int) -> Response:
    """Return the icon of a tab with as many unread messages, which the chat's script shows. More than nine are 9+."""
    return Response(
        render_template("pages/icon.svg", count=count),
        mimetype="image/svg+xml",
        headers={"Cache-Control": f"public, max-age={ASSET_SECONDS}"},
    )


def _text_of(path: Path | None) -> Markup | None:
    """Return an operator's Markdown file as HTML. Its own title is left out, since the page has one."""
    return markdown.render(path.read_text("utf-8-sig")).text if path else None


@bp.get("/favicon.ico")
def favicon() -> ResponseReturnValue:
    """Redirect browsers that ignore the page's link to its icon."""
    return redirect(url_for("static", filename="favicon.svg"), 301)
