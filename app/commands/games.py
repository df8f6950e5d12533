"""Games: register one or a file of them, change, delete."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click
from flask.cli import AppGroup

from app.commands.console import command, print_result
from shared.db import transaction
from shared.models.game_details import GameDetails
from shared.services import game_import, games, users
from shared.services.authority.actors import OPERATOR

group = AppGroup("game")


@command(group, "create")
@click.argument("name")
@click.argument("short_name", metavar="SHORT")
@click.option("--owner", required=True, metavar="USERNAME")
def create_game(name: str, short_name: str, owner: str) -> None:
    """Register a game. Its secret is shown only this once."""
    with transaction() as session:
        owner_id = users.get_user_by_username(session, owner).id
        game, credentials = games.create_game(
            session, OPERATOR, owner_id=owner_id, details=GameDetails(name=name, short_name=short_name)
        )
    print_result(
        id=game.id,
        short_name=game.short_name,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
    )


@command(group, "import")
@click.argument("file", type=click.File("r", encoding="utf-8-sig", errors="surrogateescape"))
def import_games(file: Any) -> None:
    """Register all games in FILE, or none if one is refused.

    FILE holds one JSON object per line; `-` is standard input.
    """

    def progress(count: int) -> None:
        print(f"{count:,} games", file=sys.stderr)

    with transaction() as session:
        imported = game_import.import_games(session, OPERATOR, file, progress=progress)
        print("saving", file=sys.stderr)
    for entry in imported:
        print_result(
            id=entry.game.id,
            short_name=entry.game.short_name,
            client_id=entry.credentials.client_id,
            client_secret=entry.credentials.client_secret,
        )


@command(group, "update")
@click.argument("short_name", metavar="SHORT")
@click.option("--name")
@click.option("--description")
@click.option("--display/--no-display", "is_displayed", default=None)
def update_game(short_name: str, name: str | None, description: str | None, is_displayed: bool | None) -> None:
    """Change a game. Options that are left out change nothing."""
    with transaction() as session:
        details = games.get_game(session, short_name).details
        changes: dict[str, Any] = {"name": name, "description": description, "is_displayed": is_displayed}
        details = replace(details, **{field: value for field, value in changes.items() if value is not None})
        game = games.update_game(session, OPERATOR, short_name=short_name, details=details)
    print_result(
        id=game.id,
        short_name=game.short_name,
        name=game.name,
        description=game.description,
        display=game.is_displayed,
    )


@command(group, "delete")
@click.argument("short_name", metavar="SHORT")
def delete_game(short_name: str) -> None:
    """Delete a game and close its sockets. Its short name stays reserved."""
    with transaction() as session:
        game = games.get_game(session, short_name)
        games.delete_game(session, OPERATOR, short_name=short_name)
    print_result(id=game.id, short_name=game.short_name, deleted=True)
