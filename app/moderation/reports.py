"""The queue of reports."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.arguments import page_number
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.moderation.forms import ResolveForm
from app.templating import form_page
from shared.models.report import REPORT_STATES
from shared.services.moderation import reports

bp = Blueprint("reports", __name__, url_prefix="/reports")
PER_PAGE = 30


@bp.get("")
def index() -> ResponseReturnValue:
    """List open reports, oldest first, or decided ones."""
    state = request.args.get("state", "open")
    state = state if state in (*REPORT_STATES, "") else "open"
    search = request.args.get("q", "").strip()[:100]
    with actor_reading() as (session, actor):
        page = reports.list_reports(session, actor, state=state, search=search, page=page_number(), per_page=PER_PAGE)
        return render_template("moderation/reports.html", page=page, state=state, search=search, states=REPORT_STATES)


@bp.route("/<id:report_id>", methods=["GET", "POST"])
def show(report_id: int) -> ResponseReturnValue:
    """Show a report and its reporters, and resolve it."""
    form = ResolveForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                reports.resolve_report(
                    session,
                    actor,
                    report_id=report_id,
                    state=form.state.data or "",
                    outcome=form.outcome.data or "",
                )
            flash("The report has been decided. Its reporters see the outcome.", "success")
            return redirect(url_for(".index"), 303)
    with actor_reading() as (session, actor):
        report = reports.get_report(session, actor, report_id)
        others = reports.list_reports_about(session, actor, peer=report.peer, player=report.player_key)
        return form_page(
            "moderation/report.html", form, report=report, others=[other for other in others if other.id != report.id]
        )
