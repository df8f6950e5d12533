"""The command line: `flask user|game|application|channel|network|moderation|database …`. Each prints a line of JSON.

What the rules refuse becomes one line on standard error and exit status 1. The operator may do everything.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from flask import Flask, current_app
from flask.cli import AppGroup
from sqlalchemy.exc import DBAPIError

from shared.bus import Bus
from shared.db import check_database, db, reading, transaction, utc_now
from shared.errors import DomainError
from shared.models.application import SCOPES
from shared.models.channel import Channel
from shared.models.moderation import SANCTION_KINDS, TARGET_KINDS, Sanction
from shared.models.user import ROLES
from shared.services import accounts, applications, backups, channels, game_import, games, network, users
from shared.services.authority import actors, audit
from shared.services.moderation import sanctions
from shared.settings import SettingsError

F = TypeVar("F", bound=Callable[..., Any])

FOREIGN_COMMANDS = ("run", "limiter")
"""A server for development, where `make run` and gunicorn are meant; and the limits of pages as decorators have them,
where ours come from the settings."""

users_group = AppGroup("user", help="People with an account.")
games_group = AppGroup("game", help="Registered games.")
applications_group = AppGroup("application", help="Network applications, that may sync.")
channels_group = AppGroup("channel", help="Chat channels.")
network_group = AppGroup("network", help="The network as a whole.")
database_group = AppGroup("database", help="Backups of the records.")
moderation_group = AppGroup("moderation", help="Moderation and its audit trail.")


def register_commands(app: Flask) -> None:
    """Add the groups of commands to the app."""
    groups = (
        users_group,
        games_group,
        applications_group,
        channels_group,
        network_group,
        moderation_group,
        database_group,
    )
    for group in groups:
        app.cli.add_command(group)
    _hide_foreign_commands()


def _hide_foreign_commands() -> None:
    """Leave out of `flask --help` what libraries bring along and would mislead an operator.

    The `flask` command has them from the start, and makes the app when it is asked for its list.
    """
    context = click.get_current_context(silent=True)
    root = None if context is None else context.find_root().command
    if isinstance(root, click.Group):
        for name in FOREIGN_COMMANDS:
            if name in root.commands:
                root.commands[name].hidden = True


def command(group: AppGroup, name: str) -> Callable[[F], Any]:
    """A command of a group that reports what goes wrong as one line."""

    def decorate(function: F) -> Any:
        @wraps(function)
        def run(*args: Any, **options: Any) -> None:
            try:
                function(*args, **options)
            except DomainError as error:
                fail(f"{error.field}: {error.message}" if error.field else error.message)
            except DBAPIError as error:
                try:
                    check_database(db.engine)
                except SettingsError as reason:
                    fail(str(reason))
                fail("the database refused: " + " ".join(str(error.orig).split()))

        return group.command(name)(run)

    return decorate


def _bus() -> Bus:
    bus: Bus = current_app.extensions["bus"]
    return bus


def fail(reason: str) -> None:
    """End the command with one line on standard error and status 1."""
    print("error: " + reason.encode("utf-8", "backslashreplace").decode(), file=sys.stderr)
    sys.exit(1)


def say(**fields: Any) -> None:
    """Print one JSON object on one line."""
    print(json.dumps(fields, ensure_ascii=False), flush=True)


def read_password(given: str | None) -> str:
    """The password of `--password`; `-` is the first line of standard input. Without one, the terminal is asked."""
    if given == "-":
        return sys.stdin.readline().rstrip("\r\n")
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise click.UsageError("Missing option '--password' ('-' reads it from standard input).")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


@command(users_group, "create")
@click.argument("username")
@click.argument("email")
@click.option("--password", help="8 characters at least; `-` reads it from standard input; asked for if left out.")
@click.option("--role", type=click.Choice(ROLES), default="player", show_default=True)
@click.option("--verified", is_flag=True, help="The email address needs no verification.")
def create_user(username: str, email: str, password: str | None, role: str, verified: bool) -> None:
    """Make an account."""
    password = read_password(password)
    with transaction() as session:
        user = users.register_user(
            session, username=username, email=email, password=password, role=role, is_verified=verified
        )
    say(id=user.id, uid=user.uid, username=user.username, registration_key=user.registration_key)


@command(users_group, "set-password")
@click.argument("username")
@click.option("--password", help="8 characters at least; `-` reads it from standard input; asked for if left out.")
def set_password(username: str, password: str | None) -> None:
    """Give an account another password. It is signed out everywhere."""
    password = read_password(password)
    with transaction() as session:
        user = accounts.set_password(session, username=username, new=password)
    say(id=user.id, username=user.username, role=user.role)


@command(users_group, "set-role")
@click.argument("username")
@click.argument("role", type=click.Choice(ROLES))
def set_role(username: str, role: str) -> None:
    """Let a person do more, or less. The last admin stays one."""
    with transaction() as session:
        user = users.set_role(session, actor_id=None, username=username, role=role)
    say(id=user.id, username=user.username, role=user.role)


@command(games_group, "create")
@click.argument("name")
@click.argument("short_name", metavar="SHORT")
@click.option("--owner", required=True, metavar="USERNAME")
def create_game(name: str, short_name: str, owner: str) -> None:
    """Register a game. The secret is shown this once."""
    with transaction() as session:
        owner_id = users.get_user_by_username(session, owner).id
        game, credentials = games.create_game(session, owner_id=owner_id, name=name, short_name=short_name)
    say(
        id=game.id,
        short_name=game.short_name,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
    )


@command(games_group, "import")
@click.argument("file", type=click.File("r", encoding="utf-8", errors="surrogateescape"))
def import_games(file: Any) -> None:
    """Register the games of FILE (-: standard input), one JSON object a line; all of them or none."""

    def progress(count: int) -> None:
        print(f"{count:,} games", file=sys.stderr)

    with transaction() as session:
        imported = game_import.import_games(session, file, progress=progress)
        print("saving", file=sys.stderr)
    for made in imported:
        say(
            id=made.game.id,
            short_name=made.game.short_name,
            client_id=made.credentials.client_id,
            client_secret=made.credentials.client_secret,
        )


@command(games_group, "update")
@click.argument("short_name", metavar="SHORT")
@click.option("--name")
@click.option("--description")
@click.option("--display/--no-display", "is_displayed", default=None)
def update_game(short_name: str, name: str | None, description: str | None, is_displayed: bool | None) -> None:
    """Change a game; what is not given stays."""
    with transaction() as session:
        game = games.update_game(
            session,
            actor_id=None,
            short_name=short_name,
            name=name,
            description=description,
            is_displayed=is_displayed,
        )
    say(
        id=game.id,
        short_name=game.short_name,
        name=game.name,
        description=game.description,
        display=game.is_displayed,
    )


@command(games_group, "delete")
@click.argument("short_name", metavar="SHORT")
def delete_game(short_name: str) -> None:
    """Delete a game and close its sockets. Its short name stays reserved."""
    with transaction() as session:
        game = games.get_game(session, short_name)
        games.delete_game(session, actor_id=None, short_name=short_name)
    say(id=game.id, short_name=game.short_name, deleted=True)


@command(applications_group, "create")
@click.argument("name")
@click.argument("short_name", metavar="SHORT")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, help="What it may do beside the usual.")
def create_application(name: str, short_name: str, scopes: tuple[str, ...]) -> None:
    """Make a network application. The secret is shown this once."""
    with transaction() as session:
        application, credentials = applications.create_application(
            session, name=name, short_name=short_name, scopes=scopes
        )
    say(
        id=application.id,
        short_name=application.short_name,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
        **({"scopes": application.scopes} if application.scopes else {}),
    )


@command(applications_group, "update")
@click.argument("short_name", metavar="SHORT")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, help="All that it may do from now on.")
@click.option("--no-scopes", is_flag=True, help="Take every scope away.")
def update_application(short_name: str, scopes: tuple[str, ...], no_scopes: bool) -> None:
    """Say which scopes an application has."""
    with transaction() as session:
        application = applications.get_application(session, short_name)
        if scopes or no_scopes:
            applications.set_scopes(session, short_name=short_name, scopes=scopes)
    say(id=application.id, short_name=application.short_name, scopes=application.scopes)


@command(channels_group, "create")
@click.argument("name")
@click.option("--description", default="")
@click.option("--hidden/--visible", "is_hidden", default=False)
def create_channel(name: str, description: str, is_hidden: bool) -> None:
    """Make a channel, visible unless --hidden."""
    with transaction() as session:
        channel = channels.create_channel(session, name=name, description=description, is_hidden=is_hidden)
    _say_channel(channel)


@command(channels_group, "update")
@click.argument("name")
@click.option("--name", "new_name", help="A new name.")
@click.option("--description")
@click.option("--hidden/--visible", "is_hidden", default=None)
def update_channel(name: str, new_name: str | None, description: str | None, is_hidden: bool | None) -> None:
    """Change a channel; what is not given stays."""
    with transaction() as session:
        channel = channels.update_channel(
            session, name=name, new_name=new_name, description=description, is_hidden=is_hidden
        )
    _say_channel(channel)


@command(channels_group, "delete")
@click.argument("name")
def delete_channel(name: str) -> None:
    """Delete a channel; whoever is subscribed is unsubscribed."""
    with transaction() as session:
        channel = channels.get_channel(session, name)
        channels.delete_channel(session, name=name)
    _say_channel(channel, deleted=True)


@command(network_group, "restart-notice")
@click.option("--downtime", type=int, default=15, show_default=True, help="Whole seconds that the drop will last.")
def restart_notice(downtime: int) -> None:
    """Tell every socket that a drop is coming."""
    with transaction() as session:
        network.announce_restart(session, _bus(), downtime_seconds=downtime)
    say(downtime=downtime)


@command(network_group, "status")
def network_status() -> None:
    """What the network looks like now."""
    with reading() as session:
        status = network.network_status(session, _bus())
    for socket in status["sockets"]:
        socket["since"] = datetime.fromtimestamp(socket["since"], UTC).isoformat(timespec="seconds")
    say(**status)


@command(moderation_group, "sanction")
@click.argument("kind", type=click.Choice(SANCTION_KINDS))
@click.argument("target")
@click.option("--of", "target_kind", type=click.Choice(TARGET_KINDS), default="player", show_default=True)
@click.option("--channel", help="On this channel alone.")
@click.option("--seconds", type=int, help="How long; for good if it is left out.")
@click.option("--reason", required=True)
def sanction(kind: str, target: str, target_kind: str, channel: str | None, seconds: int | None, reason: str) -> None:
    """Warn, mute or ban TARGET: Bob@Game, a game, a username, or an address or network."""
    with transaction() as session:
        made = sanctions.sanction(
            session,
            actors.OPERATOR,
            kind=kind,
            target_kind=target_kind,
            target=target,
            channel=channel,
            seconds=seconds,
            reason=reason,
        )
    _say_sanction(made)


@command(moderation_group, "lift")
@click.argument("sanction_id", metavar="ID", type=int)
@click.option("--reason", required=True)
def lift(sanction_id: int, reason: str) -> None:
    """End a sanction before its time."""
    with transaction() as session:
        found = sanctions.lift(session, actors.OPERATOR, sanction_id=sanction_id, reason=reason)
    _say_sanction(found)


@command(moderation_group, "verify-log")
def verify_log() -> None:
    """Check that nothing in the audit trail was changed, moved or removed; name the first entry that was."""
    with reading() as session:
        found = audit.verify(session)
    say(ok=found.is_whole, entries=found.entries, head=found.head, broken_at=found.broken_at, fault=found.fault)
    if not found.is_whole:
        sys.exit(1)


def _say_sanction(found: Sanction) -> None:
    until = None if found.until is None else found.until.isoformat(timespec="seconds")
    say(id=found.id, kind=found.kind, target=found.target, channel=found.channel, until=until, state=found.state)


@command(database_group, "backup")
@click.argument("file")
@click.option("--replace", is_flag=True, help="Overwrite FILE if it is there.")
def backup(file: str, replace: bool) -> None:
    """Copy the SQLite database to FILE while everything runs; into a folder, under a name with the date.

    With a slash at the end it is a folder, made if it is not there.
    """

    def progress(done: int, total: int) -> None:
        print(f"{done * 100 // max(total, 1)} %", file=sys.stderr)

    made = backups.back_up(
        db.engine.url,
        Path(file),
        is_replacing=replace,
        is_folder=file.endswith("/"),
        now=utc_now(),
        progress=progress,
    )
    say(file=str(made), bytes=made.stat().st_size)


@command(database_group, "restored")
def restored() -> None:
    """To be run once after a backup was put back: every application starts over, and no number is given twice."""
    with transaction() as session:
        say(**backups.start_over(session))


def _say_channel(channel: Channel, **more: Any) -> None:
    say(id=channel.id, name=channel.name, description=channel.description, hidden=channel.is_hidden, **more)
