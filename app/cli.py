"""The `flask` commands: `settings`, `doctor`, and the groups of the table below.

`flask --help` needs only the table below. A group's module in `app/commands/` is imported when one of its commands, or
its help, is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click
from flask import Flask
from flask.cli import AppGroup, ScriptInfo

from app.commands.doctor import doctor
from app.commands.settings import show_settings

GROUPS = {
    "user": ("app.commands.users", "Accounts of people."),
    "game": ("app.commands.games", "Registered games."),
    "application": ("app.commands.applications", "Network applications, which may sync."),
    "channel": ("app.commands.channels", "Chat channels."),
    "network": ("app.commands.network", "The network as a whole."),
    "oauth": ("app.commands.oauth", "Signing in to games with an account."),
    "moderation": ("app.commands.moderation", "Moderation and its audit trail."),
    "database": ("app.commands.database", "Backups of the database."),
}
"""Each group's name, with the module that defines it as `group`, and its line in the list of commands."""

HIDDEN_COMMANDS = ("run", "limiter")
"""Commands of libraries that would mislead an operator: `run` starts a development server (use `make run` or gunicorn),
and `limiter` only knows limits set by decorators (ours come from a table)."""


class LazyGroup(AppGroup):
    """A group of commands that imports its module on first use."""

    def __init__(self, name: str, *, module: str, help: str) -> None:
        super().__init__(name, help=help)
        self.module = module

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Return a context of the module's group, which then runs instead of this one."""
        assert parent is not None
        return self._load(parent).make_context(info_name, args, parent, **extra)

    def _load(self, ctx: click.Context) -> click.Group:
        """Import the module and set up what its commands use: the database, the bus, and what its `prepare` does."""
        app = ctx.ensure_object(ScriptInfo).load_app()
        import_module("app.resources").init_app(app)
        module = import_module(self.module)
        if hasattr(module, "prepare"):
            module.prepare(app)
        group: click.Group = module.group
        group.help = self.help
        return group


def register_commands(app: Flask) -> None:
    """Add the commands to the app."""
    for name, (module, help_text) in GROUPS.items():
        app.cli.add_command(LazyGroup(name, module=module, help=help_text))
    app.cli.add_command(LazyGroup("db", module="app.commands.migrations", help="Perform database migrations."))
    app.cli.add_command(show_settings)
    app.cli.add_command(doctor)
    _hide_commands()


def _hide_commands() -> None:
    """Leave HIDDEN_COMMANDS out of `flask --help`.

    The `flask` command registers them before it makes the app, which it does to list the app's commands.
    """
    context = click.get_current_context(silent=True)
    root = None if context is None else context.find_root().command
    if isinstance(root, click.Group):
        for name in HIDDEN_COMMANDS:
            if name in root.commands:
                root.commands[name].hidden = True
