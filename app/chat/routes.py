"""The pages of the chat, and what its script asks the site for: older lines, what is unread, a token for the socket."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy.orm import Session

from app.accounts.identity import viewer_id
from app.current_actor import actor_reading
from app.online import online_now
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
    """The pages under /chat."""
    bp = Blueprint("chat", __name__, url_prefix="/chat")

    @bp.after_request
    def let_scripts_connect(response: Response) -> Response:
        """These pages alone may connect to the socket."""
        url = urlsplit(settings.chat_socket_url)
        allowed = f"connect-src 'self' {url.scheme}://{url.netloc}"
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY.replace("connect-src 'self'", allowed)
        return response

    @bp.get("")
    def index() -> ResponseReturnValue:
        """The channels that one may join, and what is unread on them."""
        with actor_reading() as (session, actor):
            found = channels.list_public_channels(session)
            unread = _unread(session, actor, [channel.id for channel in found])
            return render_template("chat/index.html", channels=found, unread=unread)

    @bp.get("/<name>")
    def show(name: str) -> ResponseReturnValue:
        """A channel: its last lines, live; or some older ones, that the address asks for."""
        before, after = _place("before"), _place("after")
        is_now = before is None and after is None
        with actor_reading() as (session, actor):
            channel = channels.get_public_channel(session, VISITOR, name=name)
            lines, more = history.channel_page(session, channel.id, before=before, after=after, limit=LINES)
            found = channels.list_public_channels(session)
            unread = _unread(session, actor, [other.id for other in found if other.id != channel.id])
            user_id = viewer_id()
            read_to = read_marks.last_read(session, user_id=user_id, channel_id=channel.id) if user_id else None
            ignored = ignored_speakers.ignored_by(session, actor)
        if is_now and user_id is not None:
            _mark_read(user_id, channel.id, lines, read_to)
        sockets = online_now().sockets
        return render_template(
            "chat/show.html",
            channel=channel,
            channels=found,
            unread=unread,
            lines=lines,
            ignored=ignored,
            is_now=is_now,
            # `more` is in the direction asked for; in the other one are the lines that one came from.
            has_older=more if after is None else True,
            has_newer=more if after is not None else before is not None,
            read_to=read_to if is_now else None,
            is_known=sockets is not None,
            listeners=find_listeners(sockets or (), channel.id),
            socket_address=settings.chat_socket_url,
        )

    @bp.get("/<name>/lines")
    def some_lines(name: str) -> ResponseReturnValue:
        """Lines for the script: those before or after one, as they stand on the page.

        `shown`: the first line on a page that was away; the answer names those that were redacted since.
        """
        with actor_reading() as (session, actor):
            channel = channels.get_public_channel(session, VISITOR, name=name)
            lines, more = history.channel_page(
                session, channel.id, before=_place("before"), after=_place("after"), limit=LINES
            )
            ignored = ignored_speakers.ignored_by(session, actor)
            first = _place("shown")
            redacted = [] if first is None else history.redacted_ids(session, channel.id, first=first)
        return render_template("chat/some_lines.html", lines=lines, more=more, ignored=ignored, redacted=redacted)

    # Names of channels have no dot in them.

    @bp.get("/unread.json")
    def unread_counts() -> ResponseReturnValue:
        """How many lines are unread, by channel; 401 once the session ended."""
        if not current_user.is_authenticated:
            return Response(status=401)
        with actor_reading() as (session, actor):
            found = channels.list_public_channels(session)
            unread = _unread(session, actor, [channel.id for channel in found])
        return _private({channel.name: unread.get(channel.id, 0) for channel in found})

    @bp.get("/token.json")
    def token() -> ResponseReturnValue:
        """A token for the socket, good once and for a minute; 401 once the session ended."""
        if not current_user.is_authenticated:
            return Response(status=401)
        made = chat_tokens.make_token(
            settings.secret_key,
            user_id=current_user.id,
            session_token=current_user.session_token,
            session_number=current_user.session_number,
        )
        return _private({"token": made})

    return bp


def _private(value: dict[str, object]) -> Response:
    response = jsonify(value)
    response.headers["Cache-Control"] = "no-store"
    return response


def _place(name: str) -> int | None:
    """The id of a line that the address names; nonsense means none."""
    text = request.args.get(name, "")
    return min(int(text), MAX_CURSOR) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _unread(session: Session, actor: Actor, channel_ids: list[int]) -> dict[int, int]:
    user_id = viewer_id()
    if user_id is None:
        return {}
    ignored = ignored_speakers.ignored_by(session, actor)
    return read_marks.count_unread(
        session, user_id=user_id, channel_ids=channel_ids, is_hidden=ignored.covers if ignored else None
    )


def _mark_read(user_id: int, channel_id: int, lines: list[Message], read_to: int | None) -> None:
    """Whoever opens a channel has read its last lines. Written only when that is news."""
    last = lines[-1].id if lines else 0
    if read_to is None or last > read_to:
        with transaction() as session:
            read_marks.mark_read(session, user_id=user_id, channel_id=channel_id, message_id=last)
