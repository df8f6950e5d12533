"""A value that survives one redirect: the secret that the next page shows, once, and nobody can read on the way.

It is split in two halves that mean nothing alone: one in the browser's signed cookie, one in Redis for ten minutes,
gone as soon as it is read.
"""

from __future__ import annotations

import logging
import secrets

import redis
from flask import current_app, session

from shared.bus import Bus

log = logging.getLogger(__name__)

LIFETIME_SECONDS = 600
SESSION_KEY = "once"


def keep(subject: str, value: str) -> bool:
    """Keep a value for the next page about the subject. False when Redis is away: then show it in this answer."""
    plain = value.encode()
    pad = secrets.token_bytes(len(plain))
    key = secrets.token_hex(16)
    try:
        _redis().set(f"once:{key}", _xor(plain, pad), ex=LIFETIME_SECONDS)
    except redis.RedisError as error:
        log.warning("redis is away, a secret is shown in the answer to its form: %s", error)
        return False
    session[SESSION_KEY] = {"subject": subject, "key": key, "pad": pad.hex()}
    return True


def take(subject: str) -> str | None:
    """The value kept for this subject, the first time it is asked for; None afterwards."""
    ticket = session.get(SESSION_KEY)
    if not isinstance(ticket, dict) or ticket.get("subject") != subject:
        return None
    session.pop(SESSION_KEY)
    try:
        half = _redis().getdel(f"once:{ticket['key']}")
    except redis.RedisError as error:
        log.warning("redis is away, a secret could not be shown: %s", error)
        return None
    return _xor(half, bytes.fromhex(ticket["pad"])).decode() if isinstance(half, bytes) else None


def _redis() -> redis.Redis:
    bus: Bus = current_app.extensions["bus"]
    return bus.redis


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
