"""The public pages of games."""

from __future__ import annotations

from flask import Blueprint, current_app, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.arguments import page_number
from app.current_actor import actor_reading
from app.games.chart import player_charts
from app.games.overview import read_overview
from app.online import online_now
from app.templating import is_web_address
from shared import validation
from shared.db import reading, utc_now
from shared.models.game import CONNECTION_TYPES, Game
from shared.pagination import page_of
from shared.services import (
    characters,
    game_facts,
    game_lists,
    game_pages,
    games,
    play,
    player_counts,
    profile_details,
    software,
)
from shared.settings import Settings

bp = Blueprint("games", __name__, url_prefix="/games")
PER_PAGE = 24
SHOWN_CHARACTERS = 200
TRUE_VALUES = ("1", "y", "yes", "on", "true")


@bp.get("")
def index() -> ResponseReturnValue:
    """List displayed games, online ones first, narrowed by a search and filters."""
    filters = requested_games()
    now = online_now()
    with reading() as session:
        overview = read_overview(session, now)
        ids = game_lists.find_public_games(session, filters, online=now.games) if filters else overview.ids
        page = page_of(ids, page=page_number(), per_page=PER_PAGE)
        cards = overview.cards_of(session, page.items)
    listed = overview.public.software
    return render_template(
        "games/index.html",
        page=page,
        cards=cards,
        filters=filters,
        online=now.games,
        total=len(overview.ids),
        games_online=len(overview.online),
        players_online=overview.players_online,
        connection_types=CONNECTION_TYPES,
        software=listed if filters.software in ("", *listed) else [filters.software, *listed],
    )


@bp.get("/<short_name>")
def show(short_name: str) -> ResponseReturnValue:
    """Show a game: what it is, how to connect, and who is online."""
    now = online_now()
    with actor_reading() as (session, actor):
        game = games.get_public_game(session, actor, short_name=short_name)
        names = now.games.get(game.id)
        return render_template(
            "games/show.html",
            game=game,
            is_owner=actor.is_user(game.owner_id),
            count=None if names is not None else game_facts.find_count(session, game, now=utc_now()),
            is_playable=bool(play.list_playable(session, game)),
            audience=None if names is None else game_pages.get_audience(session, game, names),
            last_online_at=player_counts.last_counted_at(session, game.id) if names is None else None,
            charts=player_charts(session, game.id, now=utc_now()),
            structured=_structured(game),
            is_favourite=profile_details.is_favourite(session, actor, game.id),
            characters=characters.list_public_claims(session, game.id, limit=SHOWN_CHARACTERS),
        )


def _structured(game: Game) -> dict[str, object]:
    """Return the game as search engines read it (schema.org)."""
    settings: Settings = current_app.extensions["settings"]
    addresses = [game.homepage_url, *(way.url for way in game.connections)]
    about: dict[str, object] = {
        "@context": "https://schema.org",
        "@type": "VideoGame",
        "name": game.name,
        "alternateName": game.short_name,
        "url": settings.public_origin + url_for("games.show", short_name=game.short_name),
        "genre": "MUD",
        "gamePlatform": "Text",
        "playMode": "MultiPlayer",
        "datePublished": game.created_at.date().isoformat(),
    }
    if game.description:
        about["description"] = game.description[:1000]
    if links := [address for address in addresses if is_web_address(address)]:
        about["sameAs"] = links
    return about


def requested_games() -> game_lists.Criteria:
    """Return the search and filters in the query. Invalid values are ignored."""
    connection = request.args.get("connection", "").strip().lower()
    return game_lists.Criteria(
        search=_text("q", max_length=100),
        is_online=request.args.get("online", "").strip().lower() in TRUE_VALUES,
        connection=connection if game_lists.is_connection_type(connection) else "",
        software=software.name_of(_text("software", max_length=200)),
    )


def _text(name: str, *, max_length: int) -> str:
    value = request.args.get(name, "").strip()[:max_length]
    return value if validation.is_storable(value) else ""
