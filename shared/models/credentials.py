"""The columns of whatever connects to the socket with a client id and a secret."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from dataclasses import dataclass

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column


@dataclass(frozen=True)
class Credentials:
    """A client id and its secret, in clear, to be shown once; both random lower-case UUIDs."""

    client_id: str
    client_secret: str


class HasCredentials:
    """Mixin: the client id, the secret's SHA-256, and how often they were made anew."""

    client_id: Mapped[str] = mapped_column(String(36), unique=True)
    client_secret_digest: Mapped[str] = mapped_column(String(64))
    credentials_serial: Mapped[int] = mapped_column(default=0)

    def make_credentials(self) -> Credentials:
        """Replace the credentials; what used the old ones is to be disconnected."""
        made = Credentials(str(uuid.uuid4()), str(uuid.uuid4()))
        self.client_id = made.client_id
        self.client_secret_digest = secret_digest(made.client_secret)
        self.credentials_serial = (self.credentials_serial or 0) + 1
        return made


def secret_digest(client_secret: str) -> str:
    """SHA-256, hex, of a secret without regard to case."""
    return hashlib.sha256(client_secret.strip().lower().encode("utf-8", "surrogatepass")).hexdigest()


def secret_matches(client_secret: str, digest: str) -> bool:
    """True if the secret has this digest; takes the same time either way."""
    return hmac.compare_digest(secret_digest(client_secret), digest)
