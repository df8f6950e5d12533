"""Appeals, which are decided by someone who did not impose the sanction."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.arguments import page_number
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.moderation.forms import DecideForm
from app.templating import form_page
from shared.models.report import APPEAL_STATES
from shared.services.moderation import appeals, records

bp = Blueprint("appeals", __name__, url_prefix="/appeals")
PER_PAGE = 30


@bp.get("")
def index() -> ResponseReturnValue:
    """List open appeals, oldest first, or decided ones."""
    state = request.args.get("state", "open")
    state = state if state in (*APPEAL_STATES, "") else "open"
    with actor_reading() as (session, actor):
        page = appeals.list_appeals(session, actor, state=state, page=page_number(), per_page=PER_PAGE)
        return render_template("moderation/appeals.html", page=page, state=state, states=APPEAL_STATES)


@bp.route("/<id:appeal_id>", methods=["GET", "POST"])
def show(appeal_id: int) -> ResponseReturnValue:
    """Show an appeal and its sanction, and decide it."""
    form = DecideForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                appeals.decide_appeal(
                    session,
                    actor,
                    appeal_id=appeal_id,
                    is_granted=form.decision.data == "granted",
                    outcome=form.outcome.data or "",
                )
            flash("The appeal has been decided. The person who appealed sees the outcome.", "success")
            return redirect(url_for(".index"), 303)
    with actor_reading() as (session, actor):
        appeal = records.get_appeal(session, actor, appeal_id)
        may_decide = appeals.may_decide(session, actor, appeal)
        return form_page("moderation/appeal.html", form, appeal=appeal, may_decide=may_decide)
