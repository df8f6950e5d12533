"""The record of a player, a game or a site user: their sanctions, reports and messages."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.current_actor import actor_reading
from app.moderation.forms import NoteForm
from shared import grapevine
from shared.db import utc_now
from shared.errors import Invalid, NotFound
from shared.services import peers, short_names, users
from shared.services.authority.actors import Actor
from shared.services.moderation import notes, records, tell_counts
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
            return _page(session, actor, record)
    except (Invalid, NotFound) as error:
        if grapevine.is_grapevine(game):
            gone = _deleted_user(name)
        else:
            gone = _deleted_game(game)
        search = request.args.get("name", "")[:100]
        return gone or (
            render_template("moderation/records.html", search=search, matches=[], problem=error.message),
            404,
        )


@bp.get("/games/<short_name>")
def game(short_name: str) -> ResponseReturnValue:
    """Show a game or an application, with its players."""
    try:
        with actor_reading() as (session, actor):
            record = records.get_record_of_game(session, actor, short_name=short_name)
            return _page(
                session, actor, record, tell_counts.count(session, actor, now=utc_now(), peer=record.target.peer)
            )
    except NotFound:
        if gone := _deleted_game(short_name):
            return gone
        raise


@bp.get("/users/<username>")
def user(username: str) -> ResponseReturnValue:
    """Show a site user, with their characters."""
    try:
        with actor_reading() as (session, actor):
            return _page(session, actor, records.get_record_of_user(session, actor, username=username))
    except NotFound:
        if gone := _deleted_user(username):
            return gone
        raise


def _deleted_game(short_name: str) -> str | None:
    """Return the page of a deleted game or application; None if there never was one, or if it still exists.

    Sanctions, reports and messages that name it stay, and link to it.
    """
    with actor_reading() as (session, _actor):
        is_gone = short_names.is_reserved(session, short_name) and peers.find_peer(session, short_name) is None
    return (
        render_template("moderation/records.html", search=short_name, matches=[], gone=short_name) if is_gone else None
    )


def _deleted_user(username: str) -> str | None:
    """Return the page of a deleted account; None if there never was one."""
    with actor_reading() as (session, _actor):
        is_gone = users.is_deleted(session, username)
    return render_template("moderation/records.html", search=username, matches=[], gone=username) if is_gone else None


def _page(session: Session, actor: Actor, record: records.Record, tells: Tells | None = None) -> str:
    return render_template(
        "moderation/record.html",
        record=record,
        target=record.target,
        names=records.channel_names(session, record.messages),
        tells=tells,
        note_form=NoteForm(formdata=None),
        notes=notes.list_notes(session, actor, [record.target.id]),
        may_delete=lambda note: notes.may_delete(actor, note),
    )
