"""The public pages of games."""

from __future__ import annotations

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from app.accounts.identity import viewer_id
from shared.db import reading
from shared.services import characters, games

bp = Blueprint("games", __name__, url_prefix="/games")
PER_PAGE = 24
SHOWN_CHARACTERS = 200


@bp.get("")
def index() -> ResponseReturnValue:
    """All displayed games by name, or those that a search finds."""
    search = request.args.get("q", "").strip()[:100]
    with reading() as session:
        page = games.list_public_games(session, search=search, page=page_number(), per_page=PER_PAGE)
        return render_template("games/index.html", page=page, search=search)


@bp.get("/<short_name>")
def show(short_name: str) -> ResponseReturnValue:
    """One game: what it is, and how to get in."""
    with reading() as session:
        game = games.get_public_game(session, short_name=short_name, viewer_id=viewer_id())
        return render_template(
            "games/show.html",
            game=game,
            is_owner=game.owner_id == viewer_id(),
            characters=characters.list_public_characters_of_game(session, game.id, limit=SHOWN_CHARACTERS),
        )


def page_number() -> int:
    """The page of a long list that the address asks for; nonsense means the first."""
    text = request.args.get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) < 7 else 1
