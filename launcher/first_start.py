"""Fill a new database: one admin account and the public channels."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.models import Channel, User
from shared.services import channels, users
from shared.services.authority.actors import OPERATOR

ADMIN_USERNAME = "keeper"
CHANNELS = {
    "gossip": "Talk between all games.",
    "testing": "For trying out a client; nobody minds the noise.",
}


@dataclass(frozen=True)
class Admin:
    """The account created on the first start. Its password is stored nowhere else in clear."""

    username: str
    password: str
    email: str


def prepare(session: Session, *, admin_email: str) -> Admin | None:
    """Create the admin if there are no users, and the channels if there are no channels.

    Args:
        admin_email: The operator's own address, so it is taken as verified. May be empty: the admin then has no
            address and gets no mail.

    Returns:
        The admin, or None if there are users already.
    """
    admin = None
    if not session.scalar(select(func.count()).select_from(User)):
        admin = Admin(ADMIN_USERNAME, secrets.token_urlsafe(12), admin_email)
        users.register_user(
            session,
            OPERATOR,
            username=admin.username,
            email=admin_email or None,
            password=admin.password,
            role="admin",
            is_verified=bool(admin_email),
        )
    if not session.scalar(select(func.count()).select_from(Channel)):
        for name, description in CHANNELS.items():
            channels.create_channel(session, OPERATOR, name=name, description=description, is_hidden=False)
    return admin
