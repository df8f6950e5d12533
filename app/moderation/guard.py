"""Who gets into `/moderation`: asked once for all of its pages. What each act needs, the services ask again."""

from __future__ import annotations

from flask import abort
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.identity import ask_to_sign_in
from app.current_actor import actor_reading
from shared.services.authority.permissions import Act, may


def admit() -> ResponseReturnValue | None:
    """None for those who may see what moderators see; the sign-in page for the signed-out, 403 for all others."""
    if not current_user.is_authenticated:
        return ask_to_sign_in()
    with actor_reading() as (_session, actor):
        if not may(actor, Act.SEE):
            abort(403)
    return None
