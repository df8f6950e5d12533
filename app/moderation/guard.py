"""Access to `/moderation`, checked once for all of its pages. The services check the permission for each act."""

from __future__ import annotations

from flask import abort
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.identity import ask_to_sign_in
from app.current_actor import actor_reading
from shared.services.authority.permissions import Act, may


def admit() -> ResponseReturnValue | None:
    """Return None for moderators, the sign-in page for signed-out visitors, and 403 for everybody else."""
    if not current_user.is_authenticated:
        return ask_to_sign_in()
    with actor_reading() as (_session, actor):
        if not may(actor, Act.SEE):
            abort(403)
    return None
