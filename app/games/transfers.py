"""Handing a game over: offered by the owner, accepted by the other one; either may call it off."""

from __future__ import annotations

import logging

from flask import Blueprint, flash, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.games.forms import TransferForm
from app.templating import form_page
from shared.services import game_transfers, games

bp = Blueprint("transfers", __name__, url_prefix="/manage/games/<short_name>/transfer")
log = logging.getLogger(__name__)


@bp.route("", methods=["GET", "POST"])
@login_required
def offer(short_name: str) -> ResponseReturnValue:
    """Offer a game to somebody, with what that means said first."""
    with actor_reading() as (session, actor):
        game = games.get_own_game(session, actor, short_name=short_name)
    form = TransferForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                transfer = game_transfers.offer_game(
                    session, actor, short_name=short_name, username=form.username.data or ""
                )
                to_user = transfer.to_user
            log.info("game:%s is offered to user:%s by user:%s", game.id, to_user.id, current_user.id)
            flash(f"{game.name} is offered to {to_user.username}, who finds it under My games.", "success")
            return redirect(url_for("manage.show", short_name=game.short_name), 303)
    return form_page("games/transfer.html", form, game=game)


@bp.post("/accept")
@login_required
def accept(short_name: str) -> ResponseReturnValue:
    """Take over a game that was offered."""
    with actor_transaction() as (session, actor):
        transfer = game_transfers.accept_game(session, actor, short_name=short_name)
    log.info("game:%s went from user:%s to user:%s", transfer.game_id, transfer.from_user_id, transfer.to_user_id)
    flash(
        f"{transfer.game.name} is yours. {transfer.from_user.username} still knows its secret: make new credentials "
        "below, unless that is meant.",
        "success",
    )
    return redirect(url_for("manage.show", short_name=transfer.game.short_name), 303)


@bp.post("/cancel")
@login_required
def cancel(short_name: str) -> ResponseReturnValue:
    """Take an offer back, or decline it."""
    with actor_transaction() as (session, actor):
        transfer = game_transfers.cancel_transfer(session, actor, short_name=short_name)
    log.info("the offer of game:%s is called off by user:%s", transfer.game_id, current_user.id)
    if transfer.to_user_id == current_user.id:
        flash(f"You declined {transfer.game.name}.", "success")
        return redirect(url_for("manage.index"), 303)
    flash(f"{transfer.game.name} is offered to nobody any more.", "success")
    return redirect(url_for("manage.show", short_name=transfer.game.short_name), 303)
