"""The chat pages, and what their script requests: older lines, unread counts, a token for the socket."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user
from markupsafe import Markup
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.accounts.identity import viewer_id
from app.current_actor import actor_reading
from app.occasional_log import log_failure
from app.online import OnlineNow, online_now
from app.security import CONTENT_SECURITY_POLICY
from shared import chat_tokens
from shared.db import transaction
from shared.models.message import Message
from shared.presence import find_listeners
from shared.protocol.types import MAX_CURSOR
from shared.services import channels, history, read_marks
from shared.services.authority.actors import VISITOR, Actor
from shared.services.moderation import ignored_speakers
from shared.settings import Settings

LINES = 50


def make_blueprint(settings: Settings) -> Blueprint:
    """Return the blueprint for /chat."""
    bp = Blueprint("chat", __name__, url_prefix="/chat")

    @bp.after_request
    def allow_socket(response: Response) -> Response:
        """Allow only these pages to connect to the socket."""
        url = urlsplit(settings.chat_socket_url)
        directive = f"connect-src 'self' {url.scheme}://{url.netloc}"
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY.replace("connect-src 'self'", directive)
        return response

    @bp.get("")
    def index() -> ResponseReturnValue:
        """List the public channels and how many lines are unread."""
        with actor_reading() as (session, actor):
            public = channels.list_public_channels(session)
            unread = _count_unread(session, actor, [channel.id for channel in public])
            return render_template("chat/index.html", channels=public, unread=unread)

    @bp.get("/<name>")
    def show(name: str) -> ResponseReturnValue:
        """Show the last lines of a channel, live, or the older ones that the address asks for."""
        before, after = _message_id("before"), _message_id("after")
        is_latest = before is None and after is None
        with actor_reading() as (session, actor):
            public = channels.list_public_channels(session)
            channel = channels.find_by_name(public, name) or channels.get_public_channel(session, VISITOR, name=name)
            lines, more = history.channel_page(session, channel.id, before=before, after=after, limit=LINES)
            unread = _count_unread(session, actor, [other.id for other in public if other.id != channel.id])
            user_id = viewer_id()
            read_to = read_marks.last_read(session, user_id=user_id, channel_id=channel.id) if user_id else None
            ignored = ignored_speakers.ignored_by(session, actor)
        if is_latest and user_id is not None:
            _mark_read(user_id, channel.id, lines, read_to)
        online = online_now()
        return render_template(
            "chat/show.html",
            channel=channel,
            channels=public,
            unread=unread,
            lines=lines,
            ignored=ignored,
            is_latest=is_latest,
            # `more` is about the requested direction. In the other one there are always the lines the reader came from.
            has_older=more if after is None else True,
            has_newer=more if after is not None else before is not None,
            read_to=read_to if is_latest else None,
            are_listeners_known=online.sockets is not None,
            listeners=_render_listeners(online, channel.id),
            socket_address=settings.chat_socket_url,
        )

    @bp.get("/<name>/lines")
    def line_page(name: str) -> ResponseReturnValue:
        """Return lines before or after a given one as HTML, for the script.

        A page that was disconnected sends its first line as `shown`. The response then lists the lines from there on
        that have been redacted.
        """
        with actor_reading() as (session, actor):
            channel = channels.get_public_channel(session, VISITOR, name=name)
            lines, more = history.channel_page(
                session, channel.id, before=_message_id("before"), after=_message_id("after"), limit=LINES
            )
            ignored = ignored_speakers.ignored_by(session, actor)
            first = _message_id("shown")
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
        """Return a token for the socket, valid once and for a minute; 401 if the session has ended."""
        if not current_user.is_authenticated:
            return Response(status=401)
        socket_token = chat_tokens.make_token(
            settings.signing_keys,
            user_id=current_user.id,
            session_token=current_user.session_token,
            session_number=current_user.session_number,
        )
        return _uncached({"token": socket_token})

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


def _message_id(name: str) -> int | None:
    """Return the id of a line from the query; None if it is missing or not a number."""
    text = request.args.get(name, "")
    return min(int(text), MAX_CURSOR) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _count_unread(session: Session, actor: Actor, channel_ids: list[int]) -> dict[int, int]:
    user_id = viewer_id()
    if user_id is None:
        return {}
    ignored = ignored_speakers.ignored_by(session, actor)
    return read_marks.count_unread(
        session, user_id=user_id, channel_ids=channel_ids, is_hidden=ignored.covers if ignored else None
    )


def _mark_read(user_id: int, channel_id: int, lines: list[Message], read_to: int | None) -> None:
    """Mark the last lines as read, unless they already are. Reading must work even if nothing can be written."""
    last = lines[-1].id if lines else 0
    if read_to is not None and last <= read_to:
        return
    try:
        with transaction() as session:
            read_marks.mark_read(session, user_id=user_id, channel_id=channel_id, message_id=last)
    except DBAPIError as error:
        log_failure(current_app, "could not store what was read", error)
