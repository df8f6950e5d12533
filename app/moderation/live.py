"""New messages on all channels or one. The page polls for them every two seconds."""

from __future__ import annotations

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


@bp.get("")
def index() -> ResponseReturnValue:
    """Show the last lines, and then each new one."""
    name = request.args.get("channel", "").strip()
    with actor_reading() as (session, actor):
        channel = channels.get_channel(session, name) if name else None
        latest = _latest(session, actor, channel)
        return render_template(
            "moderation/live.html",
            messages=latest,
            names=records.channel_names(session, latest),
            last_id=history.last_message_id(session),
            channel=channel,
            channels=channels.list_channels(session),
            most=SHOWN_AT_ONCE,
        )


@bp.get("/lines")
def lines() -> ResponseReturnValue:
    """Return the lines after the id in `after` as HTML, or 304 if there are none. The ETag is the next `after`."""
    after = number_argument("after") or 0
    name = request.args.get("channel", "").strip()
    with actor_reading() as (session, _actor):
        if name:
            channel = channels.get_channel(session, name)
            new, _more = history.channel_page(session, channel.id, after=after, limit=SHOWN_AT_ONCE)
        else:
            new = history.lines_after(session, after, limit=SHOWN_AT_ONCE)
        if new:
            names = records.channel_names(session, new)
            response = Response(render_template("moderation/lines.html", messages=new, names=names))
        else:
            response = Response(status=304)
    response.set_etag(str(new[-1].id if new else after))
    response.headers["Cache-Control"] = "no-store"
    return response


def _latest(session: Session, actor: Actor, channel: Channel | None) -> list[Message]:
    """Return the last lines, oldest first."""
    page = messages.search(session, actor, channel=channel.name if channel else "", per_page=SHOWN_AT_FIRST)
    return page.items[::-1]
