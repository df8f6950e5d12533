"""Signing in to games: the keys of ID tokens."""

from __future__ import annotations

from flask import current_app
from flask.cli import AppGroup

from app.commands.console import command, print_result
from shared.db import transaction
from shared.services.authority.actors import OPERATOR
from shared.services.oauth import keys

group = AppGroup("oauth")


@command(group, "rotate-keys")
def rotate_keys() -> None:
    """Replace the keys that sign ID tokens. The old ones verify for another 30 days."""
    with transaction() as session:
        made = keys.rotate(session, OPERATOR, secrets=current_app.extensions["settings"].signing_keys)
        result = [{"kid": key.kid, "algorithm": key.algorithm} for key in made]
    print_result(keys=result)
