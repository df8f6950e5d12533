"""What a new network begins with: one admin, and the public channels."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.models import Channel, User
from shared.services import channels, users

ADMIN_USERNAME = "keeper"
CHANNELS = {
    "gossip": "Talk between all games.",
    "testing": "For trying out a client; nobody minds the noise.",
}


@dataclass(frozen=True)
class Admin:
    """The account made on the first start; the password is kept nowhere else."""

    username: str
    password: str
    email: str


def prepare(session: Session, *, admin_email: str) -> Admin | None:
    """Fill a new database; one that has users or channels keeps what it has. Returns the admin if one was made.

    admin_email: the operator's own, so it needs no proof. Without one the admin has no address, and no mail goes out.
    """
    admin = None
    if not session.scalar(select(func.count()).select_from(User)):
        admin = Admin(ADMIN_USERNAME, secrets.token_urlsafe(12), admin_email)
        users.register_user(
            session,
            username=admin.username,
            email=admin_email or None,
            password=admin.password,
            role="admin",
            is_verified=bool(admin_email),
        )
    if not session.scalar(select(func.count()).select_from(Channel)):
        for name, description in CHANNELS.items():
            channels.create_channel(session, name=name, description=description, is_hidden=False)
    return admin
