"""Play a game in the browser: the page, its token for the gateway, and the owner's settings for it."""

from __future__ import annotations

from flask import (
    Blueprint,
    Response,
    current_app,
    flash,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.identity import login_required
from app.current_actor import actor_reading, actor_transaction
from app.forms import FlaskForm, checkbox
from app.security import content_policy
from app.templating import form_page
from shared import play_tokens
from shared.db import utc_now
from shared.encodings import ENCODINGS
from shared.errors import Forbidden
from shared.services import game_facts, games, play
from shared.settings import Settings

bp = Blueprint("play", __name__)


class SwitchesForm(FlaskForm):
    """What the owner allows."""

    is_allowed = checkbox("Let people play in the browser")
    allows_guests = checkbox("Let them play without an account here")
    sends_address = checkbox("Tell the game each player's address")
    is_asked = checkbox("Ask the game every hour how many are online", default=True)


@bp.get("/games/<short_name>/play")
def show(short_name: str) -> ResponseReturnValue:
    """Show the page that plays a game. It connects by itself."""
    settings: Settings = current_app.extensions["settings"]
    with actor_reading() as (session, actor):
        game = games.get_public_game(session, actor, short_name=short_name)
        decided = play.find_play(session, game)
        page = render_template(
            "games/play.html",
            game=game,
            ways=play.list_playable(session, game),
            may_play=current_user.is_authenticated or (decided is not None and decided.allows_guests),
            encodings=ENCODINGS,
            socket_address=settings.gateway_url,
        )
    response = make_response(page)
    response.headers["Content-Security-Policy"] = content_policy(settings.chat_socket_url, settings.gateway_url)
    return response


@bp.get("/games/<short_name>/play/token.json")
def token(short_name: str) -> ResponseReturnValue:
    """Return a token for the gateway, valid once and for a minute. 401 if the person must sign in first."""
    settings: Settings = current_app.extensions["settings"]
    with actor_reading() as (session, actor):
        game = games.get_public_game(session, actor, short_name=short_name)
        try:
            play.get_target(session, actor, game_id=game.id)
        except Forbidden:
            return Response(status=401 if actor.kind != "user" else 403)
    account = (
        {
            "user_id": current_user.id,
            "session_token": current_user.session_token,
            "session_number": current_user.session_number,
        }
        if current_user.is_authenticated
        else {}
    )
    response = jsonify(token=play_tokens.make_token(settings.signing_keys, game_id=game.id, **account))
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.route("/manage/games/<short_name>/play", methods=["GET", "POST"])
@login_required
def manage(short_name: str) -> ResponseReturnValue:
    """Show and change what the owner allows, the encodings, and the proofs of addresses."""
    with actor_reading() as (session, actor):
        games.get_own_game(session, actor, short_name=short_name)
    form = SwitchesForm()
    if form.validate_on_submit():
        with actor_transaction() as (session, actor):
            play.set_switches(session, actor, short_name=short_name, **_switches(form))
        flash("Playing in the browser has been saved.", "success")
        return redirect(url_for(".manage", short_name=short_name), 303)
    with actor_transaction() as (session, actor):
        game, decided = play.get_own_play(session, actor, short_name=short_name)
        if request.method == "GET":
            form.process(obj=decided)
        ways = [
            (way, row, play.is_proved(way, row), play.is_port_allowed(way.port or 0))
            for way, row in play.list_ways(session, game)
        ]
        return form_page(
            "games/manage_play.html",
            form,
            game=game,
            token=decided.proof_token,
            ways=ways,
            encodings=ENCODINGS,
            proofs=play.PROOFS,
            failures=play.FAILURES,
            facts=[
                (way, facts, game_facts.advise(facts.variables, at=facts.answered_at) if facts.answered_at else [])
                for way, facts in game_facts.list_facts(session, game)
            ],
            is_waiting=any(row is not None and row.asked_at is not None for _, row, _, _ in ways),
        )


@bp.post("/manage/connections/<connection_id>/encoding")
@login_required
def set_encoding(connection_id: str) -> ResponseReturnValue:
    """Set the encoding of a way to connect."""
    with actor_transaction() as (session, actor):
        game = play.set_encoding(session, actor, connection_id=connection_id, encoding=request.form.get("encoding", ""))
    flash("The encoding has been saved.", "success")
    return redirect(url_for(".manage", short_name=game.short_name, _anchor="addresses"), 303)


@bp.post("/manage/connections/<connection_id>/prove")
@login_required
def prove(connection_id: str) -> ResponseReturnValue:
    """Ask the gateway to look for the proof that a way to connect is the owner's."""
    with actor_transaction() as (session, actor):
        game = play.ask_for_proof(session, actor, connection_id=connection_id, now=utc_now())
    flash("The gateway is looking for the proof. This takes up to half a minute.", "success")
    return redirect(url_for(".manage", short_name=game.short_name, _anchor="addresses"), 303)


def _switches(form: SwitchesForm) -> dict[str, bool]:
    return {field: bool(form[field].data) for field in ("is_allowed", "allows_guests", "sends_address", "is_asked")}
