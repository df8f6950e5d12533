"""The record of a player, a game or a site user: their sanctions, reports and messages."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.current_actor import actor_reading
from shared.db import utc_now
from shared.errors import Invalid, NotFound
from shared.services import peers, users
from shared.services.moderation import records, tell_counts
from shared.services.moderation.tell_counts import Tells

bp = Blueprint("records", __name__, url_prefix="/records")


@bp.get("")
def index() -> ResponseReturnValue:
    """Look up `Bob@Game`, a short name or a username. If it is a game and a user, show both links."""
    search = request.args.get("q", "").strip()[:100]
    matches: list[tuple[str, str]] = []
    if "@" in search:
        return redirect(url_for(".player", name=search), 303)
    if search:
        with actor_reading() as (session, _actor):
            peer = peers.find_peer(session, search)
            user = users.find_user_by_username(session, search)
        if peer is not None:
            matches.append((f"The game {peer.short_name}", url_for(".game", short_name=peer.short_name)))
        if user is not None:
            matches.append((f"The site user {user.username}", url_for(".user", username=user.username)))
    if len(matches) == 1:
        return redirect(matches[0][1], 303)
    return render_template("moderation/records.html", search=search, matches=matches)


@bp.get("/player")
def player() -> ResponseReturnValue:
    """Show a player. The name is in the query, because names may contain characters that paths cannot."""
    name, _, game = request.args.get("name", "").strip()[:100].rpartition("@")
    try:
        with actor_reading() as (session, actor):
            record = records.get_record_of_player(session, actor, name=name, game=game)
            return _page(session, record)
    except (Invalid, NotFound) as error:
        search = request.args.get("name", "")[:100]
        return render_template("moderation/records.html", search=search, matches=[], problem=error.message), 404


@bp.get("/games/<short_name>")
def game(short_name: str) -> ResponseReturnValue:
    """Show a game or an application, with its players."""
    with actor_reading() as (session, actor):
        record = records.get_record_of_game(session, actor, short_name=short_name)
        return _page(session, record, tell_counts.count(session, actor, now=utc_now(), peer=record.target.peer))


@bp.get("/users/<username>")
def user(username: str) -> ResponseReturnValue:
    """Show a site user, with their characters."""
    with actor_reading() as (session, actor):
        return _page(session, records.get_record_of_user(session, actor, username=username))


def _page(session: Session, record: records.Record, tells: Tells | None = None) -> str:
    names = records.channel_names(session, record.messages)
    return render_template("moderation/record.html", record=record, target=record.target, names=names, tells=tells)
