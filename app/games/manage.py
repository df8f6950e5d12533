"""The owner's pages: register a game, see its credentials, edit, regenerate, delete."""

from __future__ import annotations

from datetime import datetime
from typing import IO

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy.orm import Session

from app import one_time_secrets
from app.accounts.identity import login_required
from app.archives import send_archive
from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.games import owner
from app.games.forms import ConnectionForm, GameForm, NewGameForm
from app.oauth.forms import SignInSettingsForm
from app.online import online_now
from app.templating import form_page, secret_page
from shared import peer_keys
from shared.db import reading
from shared.models import Game
from shared.models.credentials import Credentials
from shared.services import game_transfers, games
from shared.services.exports import game as game_export
from shared.services.moderation import sanctions
from shared.services.oauth import clients

bp = Blueprint("manage", __name__, url_prefix="/manage/games")


@bp.get("")
@login_required
def index() -> ResponseReturnValue:
    """List the signed-in user's games and the games offered to them."""
    with reading() as session:
        return render_template(
            "games/mine.html",
            games=games.list_games_of(session, current_user.id),
            online=online_now().games,
            offers=game_transfers.list_offers_to(session, current_user.id),
        )


@bp.route("/new", methods=["GET", "POST"])
@login_required
def new() -> ResponseReturnValue:
    """Register a game. Its page shows the secret once."""
    form = NewGameForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                game, credentials = games.create_game(session, actor, owner_id=current_user.id, details=form.details())
                if way := form.way_to_connect():
                    games.add_connection(session, actor, short_name=game.short_name, **way)
            flash(f"{game.name} has been registered.", "success")
            return _with_secret(game.short_name, credentials, status=201)
    return form_page("games/new.html", form)


@bp.get("/<short_name>")
@login_required
def show(short_name: str) -> ResponseReturnValue:
    """Show everything an owner needs to connect a game."""
    with actor_reading() as (session, actor):
        game = games.get_own_game(session, actor, short_name=short_name)
        return secret_page(_page(session, game, one_time_secrets.take(peer_keys.of_game(game.id))))


@bp.get("/<short_name>/live")
def live(short_name: str) -> ResponseReturnValue:
    """Return the parts of the page that change; 304 if they are unchanged, 401 if the session has ended."""
    if not current_user.is_authenticated:
        return Response(status=401)
    with actor_reading() as (session, actor):
        game = games.get_own_game(session, actor, short_name=short_name)
        state = owner.state_of(session, game)
        if request.if_none_match.contains(state.mark):
            response = Response(status=304)
        else:
            response = Response(render_template("games/owner/live.html", **owner.context_of(state)))
    response.set_etag(state.mark)
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.route("/<short_name>/edit", methods=["GET", "POST"])
@login_required
def edit(short_name: str) -> ResponseReturnValue:
    """Edit a game's details."""
    with actor_reading() as (session, actor):
        game = games.get_own_game(session, actor, short_name=short_name)
    form = GameForm.of(game.details)
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                form.merge(form.values_of(games.get_own_game(session, actor, short_name=short_name).details))
                changed = games.update_game(session, actor, short_name=short_name, details=form.details())
            flash(f"{changed.name} has been saved. The change is already live on the network.", "success")
            return redirect(url_for(".show", short_name=changed.short_name), 303)
    return form_page("games/edit.html", form, game=game)


@bp.route("/<short_name>/sign-in", methods=["GET", "POST"])
@login_required
def sign_in(short_name: str) -> ResponseReturnValue:
    """Set how people sign in to a game with their account."""
    with actor_reading() as (session, actor):
        game = games.get_own_game(session, actor, short_name=short_name)
    form = SignInSettingsForm.of(game)
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                form.merge(form.values_of(games.get_own_game(session, actor, short_name=short_name)))
                clients.update_game(session, actor, short_name=short_name, settings=form.settings())
            flash(f"Signing in to {game.name} has been saved.", "success")
            return redirect(url_for(".show", short_name=game.short_name), 303)
    return form_page(
        "oauth/settings.html", form, client=game, is_game=True, back=url_for(".show", short_name=game.short_name)
    )


@bp.post("/<short_name>/regenerate")
@login_required
def regenerate(short_name: str) -> ResponseReturnValue:
    """Create new credentials. The old ones stop working at once, and sockets that used them close."""
    with actor_transaction() as (session, actor):
        credentials = games.regenerate_credentials(session, actor, short_name=short_name)
    flash("The credentials have been regenerated. The old ones no longer work.", "success")
    return _with_secret(short_name, credentials)


@bp.post("/<short_name>/export")
@login_required
def export(short_name: str) -> ResponseReturnValue:
    """Send everything that is stored about a game as a zip file."""

    def write(file: IO[bytes], now: datetime) -> str:
        with actor_reading() as (session, actor):
            return game_export.export_game(session, actor, file, short_name=short_name, now=now).short_name

    return send_archive(write)


@bp.post("/<short_name>/delete")
@login_required
def delete(short_name: str) -> ResponseReturnValue:
    """Delete a game permanently."""
    with actor_transaction() as (session, actor):
        games.delete_game(session, actor, short_name=short_name)
    flash("The game has been deleted.", "success")
    return redirect(url_for(".index"), 303)


def _with_secret(short_name: str, credentials: Credentials, *, status: int = 200) -> ResponseReturnValue:
    """Redirect to the game's page, which shows the secret once. While Redis is down, return that page itself."""
    with actor_reading() as (session, actor):
        game = games.get_own_game(session, actor, short_name=short_name)
        if one_time_secrets.keep(peer_keys.of_game(game.id), credentials.client_secret):
            return redirect(url_for(".show", short_name=game.short_name), 303)
        return secret_page(_page(session, game, credentials.client_secret), status)


def _page(session: Session, game: Game, client_secret: str | None) -> str:
    state = owner.state_of(session, game)
    game_sanctions = sanctions.list_of_game(session, game.id)
    return render_template(
        "games/manage.html",
        client_secret=client_secret,
        connection_form=ConnectionForm(formdata=None),
        transfer=game_transfers.find_transfer(session, game.id),
        sanctions_in_force=sum(sanction.state == "in force" for sanction in game_sanctions),
        **owner.context_of(state),
    )
