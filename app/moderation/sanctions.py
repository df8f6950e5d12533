"""Sanctions: impose, look up, lift, undo, restore."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.arguments import number_argument, page_number
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.forms import sentence
from app.moderation.forms import ReasonForm, SanctionForm
from app.templating import form_page
from shared.models.moderation import TARGET_KINDS, Sanction
from shared.services import channels
from shared.services.moderation import messages, records, reports, sanctions

bp = Blueprint("sanctions", __name__, url_prefix="/sanctions")
PER_PAGE = 30
TYPED = ("target", "channel")
DEFAULT_SECONDS = "3600"


@bp.get("")
def index() -> ResponseReturnValue:
    """Those in force, or all there ever were."""
    is_all = request.args.get("all") == "1"
    search = request.args.get("q", "").strip()[:100]
    with actor_reading() as (session, _actor):
        page = sanctions.list_sanctions(
            session, in_force=not is_all, search=search, page=page_number(), per_page=PER_PAGE
        )
        return render_template("moderation/sanctions.html", page=page, is_all=is_all, search=search)


@bp.route("/new", methods=["GET", "POST"])
def new() -> ResponseReturnValue:
    """Impose one. The address may name a message, a report or a target, with which the form is filled in."""
    message_id, report_id = number_argument("message"), number_argument("report")
    with actor_reading() as (session, actor):
        message = messages.get_message(session, message_id) if message_id is not None else None
        report = reports.get_report(session, actor, report_id) if report_id is not None else None
        names = records.channel_names(session, [message] if message is not None else [])
        known = channels.list_channels(session)
    asked = request.args.get("target_kind", "")
    target_kind, target = asked if asked in TARGET_KINDS else "player", request.args.get("target", "")[:100]
    if message is not None or report is not None:
        target_kind = "player"
        target = f"{message.name}@{message.game}" if message is not None else report.target if report else ""
    form = SanctionForm(data={"target_kind": target_kind, "target": target, "kind": "mute", "seconds": DEFAULT_SECONDS})
    if form.validate_on_submit():
        with errors_on(form, names=TYPED):
            with actor_transaction() as (session, actor):
                made = sanctions.sanction(
                    session,
                    actor,
                    kind=form.kind.data or "",
                    target_kind=form.target_kind.data or "",
                    target=form.target.data or "",
                    channel=form.channel.data or None,
                    seconds=int(form.seconds.data) if form.seconds.data else None,
                    reason=form.reason.data or "",
                    report_id=report_id,
                )
            flash(f"{made.target}: {'warned' if made.kind == 'warn' else 'in force at once, everywhere'}.", "success")
            if report_id is not None:
                return redirect(url_for("moderation.reports.show", report_id=report_id), 303)
            return redirect(url_for(".show", sanction_id=made.id), 303)
    return form_page("moderation/sanction_new.html", form, message=message, report=report, names=names, channels=known)


@bp.get("/<id:sanction_id>")
def show(sanction_id: int) -> ResponseReturnValue:
    """One sanction, and the ways to end it or to take that back."""
    return _page(sanction_id, ReasonForm())


@bp.post("/<id:sanction_id>/lift")
def lift(sanction_id: int) -> ResponseReturnValue:
    """End it now."""
    return _decide(sanction_id, sanctions.lift, "The sanction is lifted.")


@bp.post("/<id:sanction_id>/undo")
def undo(sanction_id: int) -> ResponseReturnValue:
    """Say that it should never have been."""
    return _decide(sanction_id, sanctions.undo, "The sanction is undone: it counts as if it had never been.")


@bp.post("/<id:sanction_id>/restore")
def restore(sanction_id: int) -> ResponseReturnValue:
    """Take a lift, or an undoing, back."""
    return _decide(sanction_id, sanctions.restore, "The sanction stands again.")


def _decide(sanction_id: int, act: Callable[..., Sanction], done: str) -> ResponseReturnValue:
    form = ReasonForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                act(session, actor, sanction_id=sanction_id, reason=form.reason.data or "")
            flash(done, "success")
            return redirect(url_for(".show", sanction_id=sanction_id), 303)
    return _page(sanction_id, form)


def _page(sanction_id: int, form: ReasonForm) -> ResponseReturnValue:
    with actor_reading() as (session, actor):
        found = sanctions.get_sanction(session, sanction_id)
        refusal = sanctions.find_refusal(session, actor, found)
        for_admins = bool(sanctions.for_admins_alone(session, [found]))
    return form_page(
        "moderation/sanction.html",
        form,
        sanction=found,
        audit_id=sanctions.target_of(found).id,
        refusal=None if refusal is None else sentence(refusal.message),
        for_admins=for_admins,
    )
