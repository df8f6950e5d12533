"""Network applications: create one, set its scopes."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from app.commands.console import command, print_result
from shared.db import transaction
from shared.models.application import SCOPES
from shared.services import applications
from shared.services.authority.actors import OPERATOR

group = AppGroup("application")


@command(group, "create")
@click.argument("name")
@click.argument("short_name", metavar="SHORT")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, help="Grant this scope.")
def create_application(name: str, short_name: str, scopes: tuple[str, ...]) -> None:
    """Create a network application. Its secret is shown only this once."""
    with transaction() as session:
        application, credentials = applications.create_application(
            session, OPERATOR, name=name, short_name=short_name, scopes=scopes
        )
    print_result(
        id=application.id,
        short_name=application.short_name,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
        **({"scopes": application.scopes} if application.scopes else {}),
    )


@command(group, "update")
@click.argument("short_name", metavar="SHORT")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, help="Replace all scopes.")
@click.option("--no-scopes", is_flag=True, help="Remove every scope.")
def update_application(short_name: str, scopes: tuple[str, ...], no_scopes: bool) -> None:
    """Set the scopes of an application, or show them."""
    with transaction() as session:
        application = applications.get_application(session, short_name)
        if scopes or no_scopes:
            applications.set_scopes(session, OPERATOR, short_name=short_name, scopes=scopes)
    print_result(id=application.id, short_name=application.short_name, scopes=application.scopes)
