"""The chat pages, and what their script requests: older lines, unread counts, a token for the socket."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, abort, current_app, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from markupsafe import Markup
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.accounts.identity import login_required, viewer_id
from app.chat.overview import read_activity
from app.chat.places import LINES, message_id, read_place
from app.chat.text import emote
from app.current_actor import actor_reading
from app.occasional_log import log_failure
from app.online import OnlineNow, online_now
from shared import chat_tokens
from shared.db import reading, transaction, utc_now
from shared.models.message import Message
from shared.presence import find_listeners
from shared.services import channels, history, read_marks
from shared.services.authority.actors import VISITOR, Actor
from shared.services.moderation import channel_states, ignored_speakers
from shared.settings import Settings


def make_blueprint(settings: Settings) -> Blueprint:
    """Return the blueprint for /chat."""
    bp = Blueprint("chat", __name__, url_prefix="/chat")
    bp.add_app_template_filter(emote)

    @bp.get("")
    def index() -> ResponseReturnValue:
        """List the public channels: what they are for, their last line, who speaks, what is unread or paused."""
        with actor_reading() as (session, actor):
            public = channels.list_public_channels(session)
            ignored = ignored_speakers.ignored_by(session, actor)
            user_id = viewer_id()
            proposed = [] if user_id is None else channels.list_channels_proposed_by(session, user_id)
            return render_template(
                "chat/index.html",
                channels=public,
                unread=_count_unread(session, actor, [channel.id for channel in public]),
                activity=read_activity(session, public, ignored),
                states={state.channel_id: state for state in channel_states.list_states(session)},
                now=utc_now(),
                waiting=[channel for channel in proposed if channel.is_hidden],
                socket_address=settings.chat_socket_url,
            )

    @bp.get("/<name>")
    def show(name: str) -> ResponseReturnValue:
        """Show the last lines of a channel, live, or those that the address asks for."""
        with actor_reading() as (session, actor):
            public = channels.list_public_channels(session)
            channel = channels.find_by_name(public, name) or channels.get_public_channel(session, VISITOR, name=name)
            ignored = ignored_speakers.ignored_by(session, actor)
            place = read_place(session, channel.id, ignored)
            unread = _count_unread(session, actor, [other.id for other in public if other.id != channel.id])
            user_id = viewer_id()
            read_to = read_marks.last_read(session, user_id=user_id, channel_id=channel.id) if user_id else None
            state = channel_states.find_state(session, channel.id)
        if place.is_latest and user_id is not None:
            _mark_read(user_id, channel.id, place.lines, read_to)
        online = online_now()
        return render_template(
            "chat/show.html",
            channel=channel,
            channels=public,
            unread=unread,
            place=place,
            ignored=ignored,
            state=state,
            now=utc_now(),
            read_to=read_to if place.is_latest else None,
            are_listeners_known=online.sockets is not None,
            listeners=_render_listeners(online, channel.id),
            socket_address=settings.chat_socket_url,
        )

    @bp.get("/@<path:player>")
    @login_required
    def tells(player: str) -> ResponseReturnValue:
        """Show the conversation with a player (`Name@Game`). Only the browser has its lines, for its session."""
        name, _, game = player.rpartition("@")
        if not name.strip() or not game.strip():
            abort(404)
        with actor_reading() as (session, actor):
            public = channels.list_public_channels(session)
            unread = _count_unread(session, actor, [channel.id for channel in public])
        return render_template("chat/tells.html", channels=public, unread=unread, name=name, game=game)

    @bp.get("/lines/<id:message_id>")
    def permalink(message_id: int) -> ResponseReturnValue:
        """Lead to a line on its channel, whatever the channel is called now."""
        with reading() as session:
            line = session.get(Message, message_id)
            name = None if line is None else channels.names_of(session, [line.channel_id]).get(line.channel_id)
        if line is None or name is None:
            abort(404)
        return redirect(url_for(".show", name=name, at=line.id, _anchor=f"line-{line.id}"))

    @bp.get("/<name>/lines")
    def line_page(name: str) -> ResponseReturnValue:
        """Return lines before or after a given one as HTML, for the script.

        A page that was disconnected sends its first line as `shown`. The response then lists the lines from there on
        that have been redacted.
        """
        with actor_reading() as (session, actor):
            channel = channels.get_public_channel(session, VISITOR, name=name)
            lines, more = history.channel_page(
                session, channel.id, before=message_id("before"), after=message_id("after"), limit=LINES
            )
            ignored = ignored_speakers.ignored_by(session, actor)
            first = message_id("shown")
            redacted = [] if first is None else history.redacted_ids(session, channel.id, first=first)
        return render_template("chat/line_page.html", lines=lines, more=more, ignored=ignored, redacted=redacted)

    # Names of channels contain no dots, so these routes hide no channel.

    @bp.get("/unread.json")
    def unread_counts() -> ResponseReturnValue:
        """Return how many lines are unread per channel; 401 if the session has ended."""
        if not current_user.is_authenticated:
            return Response(status=401)
        with actor_reading() as (session, actor):
            public = channels.list_public_channels(session)
            unread = _count_unread(session, actor, [channel.id for channel in public])
        return _uncached({channel.name: unread.get(channel.id, 0) for channel in public})

    @bp.get("/token.json")
    def token() -> ResponseReturnValue:
        """Return a token for the socket, valid once and for a minute, and the public channels.

        401 if the session has ended.
        """
        if not current_user.is_authenticated:
            return Response(status=401)
        with reading() as session:
            names = [channel.name for channel in channels.list_public_channels(session)]
        socket_token = chat_tokens.make_token(
            settings.signing_keys,
            user_id=current_user.id,
            session_token=current_user.session_token,
            session_number=current_user.session_number,
        )
        return _uncached({"token": socket_token, "channels": names})

    return bp


def _render_listeners(online: OnlineNow, channel_id: int) -> Markup:
    """Return the lists of who is subscribed, rendered once for each reading of presence: there may be thousands."""

    def render() -> Markup:
        listeners = find_listeners(online.sockets or (), channel_id)
        return Markup(render_template("chat/listeners.html", listeners=listeners))

    return online.once((request.root_path, "listeners", channel_id), render)


def _uncached(value: dict[str, object]) -> Response:
    response = jsonify(value)
    response.headers["Cache-Control"] = "no-store"
    return response


def _count_unread(session: Session, actor: Actor, channel_ids: list[int]) -> dict[int, int]:
    user_id = viewer_id()
    if user_id is None:
        return {}
    ignored = ignored_speakers.ignored_by(session, actor)
    return read_marks.count_unread(
        session, user_id=user_id, channel_ids=channel_ids, is_hidden=ignored.covers if ignored else None
    )


def _mark_read(user_id: int, channel_id: int, lines: Sequence[Message], read_to: int | None) -> None:
    """Mark the last lines as read, unless they already are. Reading must work even if nothing can be written."""
    last = lines[-1].id if lines else 0
    if read_to is not None and last <= read_to:
        return
    try:
        with transaction() as session:
            read_marks.mark_read(session, user_id=user_id, channel_id=channel_id, message_id=last)
    except DBAPIError as error:
        log_failure(current_app, "could not store what was read", error)
