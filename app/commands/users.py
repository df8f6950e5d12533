"""Accounts: create one, set its password or its role."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from app.commands.console import PASSWORD_HELP, command, print_result, read_password
from shared.db import transaction
from shared.models.user import ROLES
from shared.services import accounts, users
from shared.services.authority.actors import OPERATOR

group = AppGroup("user")


@command(group, "create")
@click.argument("username")
@click.argument("email")
@click.option("--password", help=PASSWORD_HELP)
@click.option("--role", type=click.Choice(ROLES), default="player", show_default=True)
@click.option("--verified", is_flag=True, help="Treat the email address as verified.")
def create_user(username: str, email: str, password: str | None, role: str, verified: bool) -> None:
    """Create an account."""
    password = read_password(password)
    with transaction() as session:
        user = users.register_user(
            session, OPERATOR, username=username, email=email, password=password, role=role, is_verified=verified
        )
    print_result(id=user.id, uid=user.uid, username=user.username, registration_key=user.registration_key)


@command(group, "set-password")
@click.argument("username")
@click.option("--password", help=PASSWORD_HELP)
def set_password(username: str, password: str | None) -> None:
    """Set the password of an account and end all of its sessions."""
    password = read_password(password)
    with transaction() as session:
        user = accounts.set_password(session, OPERATOR, username=username, new=password)
    print_result(id=user.id, username=user.username, role=user.role)


@command(group, "set-role")
@click.argument("username")
@click.argument("role", type=click.Choice(ROLES))
def set_role(username: str, role: str) -> None:
    """Set the role of an account. The last admin stays an admin."""
    with transaction() as session:
        user = users.set_role(session, OPERATOR, username=username, role=role)
    print_result(id=user.id, username=user.username, role=user.role)
