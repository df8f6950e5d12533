"""Sanctions: impose, list, lift, undo, restore."""

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
TYPED_FIELDS = ("target", "channel")
DEFAULT_SECONDS = "3600"


@bp.get("")
def index() -> ResponseReturnValue:
    """List sanctions in force, or all."""
    is_all = request.args.get("all") == "1"
    search = request.args.get("q", "").strip()[:100]
    with actor_reading() as (session, _actor):
        page = sanctions.list_sanctions(
            session, in_force=not is_all, search=search, page=page_number(), per_page=PER_PAGE
        )
        return render_template("moderation/sanctions.html", page=page, is_all=is_all, search=search)


@bp.route("/new", methods=["GET", "POST"])
def new() -> ResponseReturnValue:
    """Impose a sanction. The query can name a message, a report or a target to fill in the form."""
    message_id, report_id = number_argument("message"), number_argument("report")
    with actor_reading() as (session, actor):
        message = messages.get_message(session, message_id) if message_id is not None else None
        report = reports.get_report(session, actor, report_id) if report_id is not None else None
        names = records.channel_names(session, [message] if message is not None else [])
        all_channels = channels.list_channels(session)
    target_kind, target = request.args.get("target_kind", ""), request.args.get("target", "")[:100]
    if target_kind not in TARGET_KINDS:
        target_kind = "player"
    if message is not None or report is not None:
        target_kind = "player"
        target = f"{message.name}@{message.game}" if message is not None else report.target if report else ""
    form = SanctionForm(data={"target_kind": target_kind, "target": target, "kind": "mute", "seconds": DEFAULT_SECONDS})
    if form.validate_on_submit():
        with errors_on(form, names=TYPED_FIELDS):
            with actor_transaction() as (session, actor):
                imposed = sanctions.sanction(
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
            effect = "warned" if imposed.kind == "warn" else "the sanction is in force"
            flash(f"{imposed.target}: {effect}.", "success")
            if report_id is not None:
                return redirect(url_for("moderation.reports.show", report_id=report_id), 303)
            return redirect(url_for(".show", sanction_id=imposed.id), 303)
    return form_page(
        "moderation/sanction_new.html", form, message=message, report=report, names=names, channels=all_channels
    )


@bp.get("/<id:sanction_id>")
def show(sanction_id: int) -> ResponseReturnValue:
    """Show a sanction, with forms to lift, undo or restore it."""
    return _page(sanction_id, ReasonForm())


@bp.post("/<id:sanction_id>/lift")
def lift(sanction_id: int) -> ResponseReturnValue:
    """End a sanction now."""
    return _change(sanction_id, sanctions.lift, "The sanction is lifted.")


@bp.post("/<id:sanction_id>/undo")
def undo(sanction_id: int) -> ResponseReturnValue:
    """End a sanction that should not have been imposed."""
    return _change(sanction_id, sanctions.undo, "The sanction is undone and no longer counts.")


@bp.post("/<id:sanction_id>/restore")
def restore(sanction_id: int) -> ResponseReturnValue:
    """Put a lifted or undone sanction back in force."""
    return _change(sanction_id, sanctions.restore, "The sanction is restored.")


def _change(sanction_id: int, act: Callable[..., Sanction], done: str) -> ResponseReturnValue:
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
        sanction = sanctions.get_sanction(session, sanction_id)
        refusal = sanctions.find_refusal(session, actor, sanction)
        for_admins = bool(sanctions.for_admins_alone(session, [sanction]))
    return form_page(
        "moderation/sanction.html",
        form,
        sanction=sanction,
        audit_id=sanctions.target_of(sanction).id,
        refusal=None if refusal is None else sentence(refusal.message),
        for_admins=for_admins,
    )
