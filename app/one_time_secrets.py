"""A secret that the next page shows once, after a redirect.

It is split into two halves that are useless alone: one goes into the session cookie, the other into Redis, where it is
deleted after ten minutes or when it is read.
"""

from __future__ import annotations

import logging
import secrets

import redis
from flask import current_app, session

from shared.bus import Bus

log = logging.getLogger(__name__)

LIFETIME_SECONDS = 600
SESSION_KEY = "one_time_secret"


def keep(subject: str, value: str) -> bool:
    """Keep a value for the next page about the subject. Returns False if Redis is down: then show it now."""
    secret = value.encode()
    pad = secrets.token_bytes(len(secret))
    key = secrets.token_hex(16)
    try:
        _redis().set(f"one-time-secret:{key}", _xor(secret, pad), ex=LIFETIME_SECONDS)
    except redis.RedisError as error:
        log.warning("redis is down, so a secret is shown without a redirect: %s", error)
        return False
    session[SESSION_KEY] = {"subject": subject, "key": key, "pad": pad.hex()}
    return True


def take(subject: str) -> str | None:
    """Return the value kept for this subject and delete it; None if there is none."""
    ticket = session.get(SESSION_KEY)
    if not isinstance(ticket, dict) or ticket.get("subject") != subject:
        return None
    session.pop(SESSION_KEY)
    try:
        half = _redis().getdel(f"one-time-secret:{ticket['key']}")
    except redis.RedisError as error:
        log.warning("redis is down, so a secret could not be shown: %s", error)
        return None
    return _xor(half, bytes.fromhex(ticket["pad"])).decode() if isinstance(half, bytes) else None


def _redis() -> redis.Redis:
    bus: Bus = current_app.extensions["bus"]
    return bus.redis


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
