"""The keys that sign ID tokens: one for each algorithm, made when it is first needed, and replaced by the operator."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey, RSAKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.db import utc_now
from shared.models.oauth import SigningKey
from shared.models.sign_in import ID_TOKEN_ALGORITHMS
from shared.services.authority import audit
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require

RETIRED_KEPT = timedelta(days=30)
"""How long a replaced key still verifies: longer than any ID token lives, so that clients can also use one to sign
out."""

PrivateKey = RSAKey | ECKey


def signing_key(session: Session, algorithm: str, *, secrets: Sequence[str]) -> PrivateKey:
    """Return the key that signs with an algorithm. Makes one if there is none, or if none can be decrypted.

    Args:
        secrets: All values of SECRET_KEY that are accepted; the last one is the current one.
    """
    statement = (
        select(SigningKey)
        .where(SigningKey.algorithm == algorithm, SigningKey.retired_at.is_(None))
        .order_by(SigningKey.created_at.desc())
    )
    for row in session.scalars(statement):
        for secret in reversed(secrets):
            try:
                return _import(row, secret)
            except ValueError:  # encrypted with another secret
                continue
    return _make(session, algorithm, secret=secrets[-1])


def rotate(session: Session, actor: Actor, *, secrets: Sequence[str]) -> list[SigningKey]:
    """Replace the keys of all algorithms. The old ones still verify what they have signed. Return the new ones.

    Raises Forbidden.
    """
    require(actor, Act.ROTATE_KEYS)
    now = utc_now()
    for row in session.scalars(select(SigningKey)).all():
        if row.retired_at is None:
            row.retired_at = now
        elif now - row.retired_at > RETIRED_KEPT:
            session.delete(row)
    kids = [str(_make(session, algorithm, secret=secrets[-1]).kid) for algorithm in ID_TOKEN_ALGORITHMS]
    audit.record(
        session,
        actor,
        Act.ROTATE_KEYS,
        audit.Target("network", "oauth", "keys of ID tokens"),
        after={"kids": kids},
    )
    return list(session.scalars(select(SigningKey).where(SigningKey.kid.in_(kids)).order_by(SigningKey.algorithm)))


def public_keys(session: Session) -> list[dict[str, Any]]:
    """Return the public keys that verify ID tokens (RFC 7517)."""
    since = utc_now() - RETIRED_KEPT
    rows = session.scalars(select(SigningKey).order_by(SigningKey.created_at.desc(), SigningKey.kid))
    return [dict(row.public_jwk) for row in rows if row.retired_at is None or row.retired_at > since]


def _make(session: Session, algorithm: str, *, secret: str) -> PrivateKey:
    key: PrivateKey = (
        RSAKey.generate_key(2048, private=True) if algorithm == "RS256" else ECKey.generate_key("P-256", private=True)
    )
    kid = key.thumbprint()
    private_key = key.private_key
    assert private_key is not None
    pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(secret.encode()),
    )
    row = SigningKey(
        kid=kid,
        algorithm=algorithm,
        private_pem=pem.decode(),
        public_jwk={**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": algorithm},
    )
    session.add(row)
    session.flush()
    return _import(row, secret)


def _import(row: SigningKey, secret: str) -> PrivateKey:
    plain = serialization.load_pem_private_key(row.private_pem.encode(), secret.encode()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    kind = RSAKey if row.algorithm == "RS256" else ECKey
    return kind.import_key(plain, {"kid": row.kid})
