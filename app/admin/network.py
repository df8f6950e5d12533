"""The state of the network, and announcing a restart."""

from __future__ import annotations

from flask import Blueprint, current_app, flash, redirect, url_for
from flask.typing import ResponseReturnValue

from app.accounts.identity import admin_required
from app.admin.forms import RestartForm, downtime_seconds
from app.current_actor import actor_transaction
from app.errors import errors_on
from app.templating import form_page
from shared.db import reading
from shared.services import network

bp = Blueprint("admin", __name__, url_prefix="/admin")
DEFAULT_DOWNTIME_SECONDS = 15


@bp.route("", methods=["GET", "POST"])
@admin_required
def index() -> ResponseReturnValue:
    """Show the state of the network, and announce a restart."""
    form = RestartForm(data={"downtime": str(DEFAULT_DOWNTIME_SECONDS)})
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                network.announce_restart(
                    session,
                    actor,
                    current_app.extensions["bus"],
                    downtime_seconds=downtime_seconds(form.downtime.data),
                )
            flash("The restart has been announced to every socket.", "success")
            return redirect(url_for(".index"), 303)
    with reading() as session:
        return form_page(
            "admin/index.html", form, status=network.network_status(session, current_app.extensions["bus"])
        )
