"""The columns of records that connect to the socket with a client id and a secret."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from dataclasses import dataclass

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column


@dataclass(frozen=True)
class Credentials:
    """A client id and its secret in clear text, to be shown once. Both are random lower-case UUIDs."""

    client_id: str
    client_secret: str


class HasCredentials:
    """Mixin: the client id, the SHA-256 of the secret, and how often they were replaced."""

    client_id: Mapped[str] = mapped_column(String(36), unique=True)
    client_secret_digest: Mapped[str] = mapped_column(String(64))
    credentials_serial: Mapped[int] = mapped_column(default=0)

    def make_credentials(self) -> Credentials:
        """Replace the credentials and return the new ones. The caller must announce it, so that sockets are closed."""
        credentials = Credentials(str(uuid.uuid4()), str(uuid.uuid4()))
        self.client_id = credentials.client_id
        self.client_secret_digest = secret_digest(credentials.client_secret)
        self.credentials_serial = (self.credentials_serial or 0) + 1
        return credentials


def secret_digest(client_secret: str) -> str:
    """Return the SHA-256 of a secret, in hex. Ignores case."""
    return hashlib.sha256(client_secret.strip().lower().encode("utf-8", "surrogatepass")).hexdigest()


def secret_matches(client_secret: str, digest: str) -> bool:
    """Return whether the secret has this digest, in constant time."""
    return hmac.compare_digest(secret_digest(client_secret), digest)
