"""What is said now, on every channel or one: the page asks for what is new every two seconds."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.arguments import number_argument
from app.current_actor import actor_reading
from shared.models import Channel, Message
from shared.services import channels, history
from shared.services.authority.actors import Actor
from shared.services.moderation import messages, records

bp = Blueprint("live", __name__, url_prefix="/live")
SHOWN_AT_FIRST = 60
SHOWN_AT_ONCE = 200
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@bp.get("")
def index() -> ResponseReturnValue:
    """The last lines, and from then on each new one."""
    name = request.args.get("channel", "").strip()
    with actor_reading() as (session, actor):
        channel = channels.get_channel(session, name) if name else None
        shown = _last(session, actor, channel)
        return render_template(
            "moderation/live.html",
            messages=shown,
            names=records.channel_names(session, shown),
            last_id=history.last_message_id(session),
            channel=channel,
            channels=channels.list_channels(session),
            most=SHOWN_AT_ONCE,
        )


@bp.get("/lines")
def lines() -> ResponseReturnValue:
    """The lines after `after`, as a part of the page; 304 while there is none. The ETag is where to ask from next."""
    after = number_argument("after") or 0
    name = request.args.get("channel", "").strip()
    with actor_reading() as (session, _actor):
        if name:
            channel = channels.get_channel(session, name)
            found, _more = history.channel_page(session, channel.id, after=after, limit=SHOWN_AT_ONCE)
        else:
            found = history.lines_since(session, after, after=_EVER, limit=SHOWN_AT_ONCE)
        if found:
            names = records.channel_names(session, found)
            response = Response(render_template("moderation/lines.html", messages=found, names=names))
        else:
            response = Response(status=304)
    response.set_etag(str(found[-1].id if found else after))
    response.headers["Cache-Control"] = "no-store"
    return response


def _last(session: Session, actor: Actor, channel: Channel | None) -> list[Message]:
    found = messages.search(session, actor, channel=channel.name if channel else "", per_page=SHOWN_AT_FIRST)
    return found.items[::-1]
