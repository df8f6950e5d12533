"""Channels: create, change, delete."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import AppGroup

from app.commands.console import command, print_result
from shared.db import transaction
from shared.models.channel import Channel
from shared.services import channels
from shared.services.authority.actors import OPERATOR

group = AppGroup("channel")


@command(group, "create")
@click.argument("name")
@click.option("--description", default="")
@click.option("--hidden/--visible", "is_hidden", default=False)
def create_channel(name: str, description: str, is_hidden: bool) -> None:
    """Create a channel, visible unless --hidden."""
    with transaction() as session:
        channel = channels.create_channel(session, OPERATOR, name=name, description=description, is_hidden=is_hidden)
    _print_channel(channel)


@command(group, "update")
@click.argument("name")
@click.option("--name", "new_name", help="A new name.")
@click.option("--description")
@click.option("--hidden/--visible", "is_hidden", default=None)
def update_channel(name: str, new_name: str | None, description: str | None, is_hidden: bool | None) -> None:
    """Change a channel. Options that are left out change nothing."""
    with transaction() as session:
        channel = channels.update_channel(
            session, OPERATOR, name=name, new_name=new_name, description=description, is_hidden=is_hidden
        )
    _print_channel(channel)


@command(group, "delete")
@click.argument("name")
def delete_channel(name: str) -> None:
    """Delete a channel and end all subscriptions to it."""
    with transaction() as session:
        channel = channels.get_channel(session, name)
        channels.delete_channel(session, OPERATOR, name=name)
    _print_channel(channel, deleted=True)


def _print_channel(channel: Channel, **more: Any) -> None:
    print_result(id=channel.id, name=channel.name, description=channel.description, hidden=channel.is_hidden, **more)
