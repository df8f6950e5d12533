"""Transferring a game: the owner offers it and the recipient accepts it. Either can cancel the offer."""

from __future__ import annotations

import logging

from flask import Blueprint, flash, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.identity import login_required
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
    """Explain what a transfer means, and offer a game to another user."""
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
            log.info("user:%s offered game:%s to user:%s", current_user.id, game.id, to_user.id)
            flash(f"You have offered {game.name} to {to_user.username}, who can accept it under My games.", "success")
            return redirect(url_for("manage.show", short_name=game.short_name), 303)
    return form_page("games/transfer.html", form, game=game)


@bp.post("/accept")
@login_required
def accept(short_name: str) -> ResponseReturnValue:
    """Accept an offered game."""
    with actor_transaction() as (session, actor):
        transfer = game_transfers.accept_game(session, actor, short_name=short_name)
    log.info(
        "game:%s was transferred from user:%s to user:%s", transfer.game_id, transfer.from_user_id, transfer.to_user_id
    )
    flash(
        f"{transfer.game.name} is yours. {transfer.from_user.username} still knows its secret: regenerate the "
        "credentials below unless that is intended.",
        "success",
    )
    return redirect(url_for("manage.show", short_name=transfer.game.short_name), 303)


@bp.post("/cancel")
@login_required
def cancel(short_name: str) -> ResponseReturnValue:
    """Withdraw or decline an offer."""
    with actor_transaction() as (session, actor):
        transfer = game_transfers.cancel_transfer(session, actor, short_name=short_name)
    log.info("user:%s cancelled the offer of game:%s", current_user.id, transfer.game_id)
    if transfer.to_user_id == current_user.id:
        flash(f"You declined {transfer.game.name}.", "success")
        return redirect(url_for("manage.index"), 303)
    flash(f"{transfer.game.name} is no longer offered.", "success")
    return redirect(url_for("manage.show", short_name=transfer.game.short_name), 303)
