"""Reporting a message or a player, and the outcome of reports."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.accounts.identity import login_required
from app.arguments import number_argument, page_number
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.safety.forms import ReportForm
from app.templating import form_page
from shared.errors import NotFound
from shared.models import Message
from shared.services import channels, games
from shared.services.authority import actors
from shared.services.authority.actors import Actor
from shared.services.moderation import messages, records, reports

bp = Blueprint("reports", __name__)
PER_PAGE = 25


@bp.route("/report", methods=["GET", "POST"])
@login_required
def new() -> ResponseReturnValue:
    """Report the message or player in the query (`?message=12`, `?player=Bob@Game`)."""
    message_id = number_argument("message")
    message, channel = None, None
    if message_id is not None:
        with actor_reading() as (session, actor):
            message, channel = _get_visible_message(session, actor, message_id)
    form = ReportForm(data={"target": request.args.get("player", "")[:100]})
    if message is not None:
        form.target.data = f"{message.name}@{message.game}"
    if form.validate_on_submit():
        name, _, game = (form.target.data or "").rpartition("@")
        with errors_on(form, names=("target",)):
            with actor_transaction() as (session, actor):
                reports.create_report(
                    session, actor, game=game, name=name, text=form.text.data or "", message_id=message_id
                )
            flash("Thank you. A moderator will look at your report, and the outcome will appear here.", "success")
            return redirect(url_for(".mine"), 303)
    return form_page("safety/report.html", form, message=message, channel=channel)


@bp.get("/account/reports")
@login_required
def mine() -> ResponseReturnValue:
    """List the viewer's reports and their outcomes."""
    with actor_reading() as (session, actor):
        page = reports.list_reports_by(session, actor, page=page_number(), per_page=PER_PAGE)
        return render_template("safety/reports.html", page=page)


@bp.get("/manage/games/<short_name>/reports")
@login_required
def of_game(short_name: str) -> ResponseReturnValue:
    """List the reports that a game sent on its socket, and their outcomes."""
    with actor_reading() as (session, actor):
        game = games.get_own_game(session, actor, short_name=short_name)
        reporter = actors.of_game(session, game.id)
        page = reports.list_reports_by(session, reporter, page=page_number(), per_page=PER_PAGE)
        return render_template("safety/game_reports.html", game=game, page=page)


def _get_visible_message(session: Session, actor: Actor, message_id: int) -> tuple[Message, str]:
    """Return a message that the viewer may read, and the name of its channel.

    Raises:
        NotFound: There is no such message, or it is redacted or on a hidden channel. Ids of messages are easy to guess.
    """
    message = messages.get_message(session, message_id)
    name = records.channel_names(session, [message]).get(message.channel_id)
    if name is None or message.redacted_at is not None:
        raise NotFound("there is no such message")
    return message, channels.get_public_channel(session, actor, name=name).name
