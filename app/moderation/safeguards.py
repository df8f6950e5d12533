"""Raid protection, for moderators, and the probation of new accounts and games, for admins."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.moderation.forms import ProbationForm, RaidForm
from app.raid_notice import forget_raid
from shared.db import utc_now
from shared.errors import Conflict
from shared.models import SafeguardSettings
from shared.services import raids
from shared.services.authority.permissions import Act, may
from shared.services.moderation import safeguards

bp = Blueprint("safeguards", __name__, url_prefix="/safeguards")
DEFAULT_HOURS = 1


@bp.get("")
def index() -> ResponseReturnValue:
    """Show what is on, with the forms to change it."""
    return _page()


@bp.post("/raid")
def start_raid() -> ResponseReturnValue:
    """Switch raid protection on."""
    form = RaidForm(prefix="raid-")
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                safeguards.start_raid_protection(
                    session, actor, hours=form.hours.data or 0, reason=form.reason.data or ""
                )
            forget_raid()
            flash("Raid protection is on. It ends by itself.", "success")
            return redirect(url_for(".index"), 303)
    return _page(raid=form)


@bp.post("/raid/end")
def end_raid() -> ResponseReturnValue:
    """Switch raid protection off before its end."""
    with suppress(Conflict), actor_transaction() as (session, actor):  # it ended a moment ago
        safeguards.end_raid_protection(session, actor)
    forget_raid()
    flash("Raid protection is off. Everybody can speak and register again.", "success")
    return redirect(url_for(".index"), 303)


@bp.post("/probation")
def set_probation() -> ResponseReturnValue:
    """Set how new accounts and games are limited."""
    form = ProbationForm(prefix="probation-")
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                form.merge(_values_of(raids.get_settings(session)))
                safeguards.set_probation(
                    session,
                    actor,
                    hours=form.hours.data or 0,
                    slow_seconds=form.slow_seconds.data or 0,
                    refuses_links=form.refuses_links.data,
                )
            flash("The probation is saved.", "success")
            return redirect(url_for(".index"), 303)
    return _page(probation=form)


def _values_of(settings: SafeguardSettings) -> dict[str, object]:
    return {
        "hours": settings.probation_hours,
        "slow_seconds": settings.probation_slow_seconds,
        "refuses_links": settings.probation_refuses_links,
    }


def _page(*, raid: RaidForm | None = None, probation: ProbationForm | None = None) -> ResponseReturnValue:
    """Return the page. A form that was sent keeps its input and errors."""
    with actor_reading() as (session, actor):
        settings = raids.get_settings(session)
        page = render_template(
            "moderation/safeguards.html",
            settings=settings,
            is_raid=settings.is_raid_at(utc_now()),
            may_set_probation=may(actor, Act.SET_PROBATION),
            raid_form=raid or RaidForm(formdata=None, prefix="raid-", data={"hours": DEFAULT_HOURS}),
            probation_form=probation or ProbationForm(formdata=None, prefix="probation-", data=_values_of(settings)),
            form=raid or probation,
        )
    return page, 422 if raid or probation else 200
