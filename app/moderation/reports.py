"""The queue of reports: one screen for each, with everything that its decision needs."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.arguments import page_number
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.forms import sentence
from app.moderation.forms import NoteForm, ResolveForm
from app.templating import form_page
from shared.db import utc_now
from shared.errors import Conflict, Invalid, NotFound
from shared.models.message import Message
from shared.models.report import REPORT_STATES, Report
from shared.services.authority.actors import Actor
from shared.services.moderation import claims, decisions, messages, notes, records, reports

bp = Blueprint("reports", __name__, url_prefix="/reports")
PER_PAGE = 30
LINES_AROUND = 10
SHOWN_SANCTIONS = 8
SHOWN_REPORTS = 8
_DONE = {
    "mute": "upheld, and {} is muted for an hour",
    "warn": "upheld, and {} is warned",
    "upheld": "upheld",
    "dismissed": "dismissed",
}


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
    """Show a report with its context and the player's record, and decide it. The next open report follows."""
    form = ResolveForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                report = decisions.decide_report(
                    session,
                    actor,
                    report_id=report_id,
                    decision=form.state.data or "",
                    outcome=form.outcome.data or "",
                )
                following = reports.find_next(session, actor, after=report_id, now=utc_now())
                done = _DONE[form.state.data or ""].format(report.target)
            flash(f"Report {report_id}: {done}. Its reporters see the outcome.", "success")
            if following is None:
                flash("No other open report is waiting for you.", "notice")
                return redirect(url_for(".index"), 303)
            return redirect(url_for(".show", report_id=following), 303)
    return _page(report_id, form)


@bp.post("/<id:report_id>/claim")
def claim(report_id: int) -> ResponseReturnValue:
    """Tell other moderators that one is working on a report, or take it over."""
    try:
        with actor_transaction() as (session, actor):
            claims.claim(session, actor, report_id=report_id, takes_over=request.form.get("takes_over") == "1")
    except Conflict as error:
        flash(sentence(error.message), "notice")
    return redirect(url_for(".show", report_id=report_id), 303)


@bp.post("/<id:report_id>/release")
def release(report_id: int) -> ResponseReturnValue:
    """Leave a report to other moderators."""
    with actor_transaction() as (session, actor):
        claims.release(session, actor, report_id=report_id)
    return redirect(url_for(".show", report_id=report_id), 303)


@bp.post("/<id:report_id>/notes")
def note(report_id: int) -> ResponseReturnValue:
    """Add an internal note about a report."""
    form = NoteForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                reports.get_report(session, actor, report_id)
                notes.add_note(session, actor, about=f"report:{report_id}", text=form.text.data or "")
            flash("The note was added.", "success")
            return redirect(url_for(".show", report_id=report_id), 303)
    return _page(report_id, ResolveForm(formdata=None), form)


def _page(report_id: int, form: ResolveForm, note_form: NoteForm | None = None) -> ResponseReturnValue:
    with actor_reading() as (session, actor):
        report = reports.get_report(session, actor, report_id)
        record = _find_record(session, actor, report)
        about = [f"report:{report.id}"]
        if record is not None:
            about += [record.target.id] + ([f"user:{record.person.id}"] if record.person else [])
        around = _context(session, actor, report)
        return form_page(
            "moderation/report.html",
            note_form if note_form is not None and note_form.errors else form,
            decide_form=form,
            note_form=note_form or NoteForm(formdata=None),
            report=report,
            holder=claims.find_holder(actor, report, utc_now()),
            around=around,
            names=records.channel_names(session, around),
            record=record,
            sanctions=[] if record is None else record.sanctions[:SHOWN_SANCTIONS],
            others=[]
            if record is None
            else [other for other in record.reports if other.id != report.id][:SHOWN_REPORTS],
            notes=notes.list_notes(session, actor, about),
            may_delete=lambda each: notes.may_delete(actor, each),
        )


def _context(session: Session, actor: Actor, report: Report) -> list[Message]:
    """Return the reported line with the lines around it; nothing if it was deleted or the player was reported."""
    if report.message_id is None:
        return []
    try:
        return messages.context(session, actor, message_id=report.message_id, around=LINES_AROUND)
    except NotFound:
        return []


def _find_record(session: Session, actor: Actor, report: Report) -> records.Record | None:
    try:
        return records.get_record_of_player(session, actor, name=report.name, game=report.game)
    except (Invalid, NotFound):  # the game was deleted or has another short name
        return None
