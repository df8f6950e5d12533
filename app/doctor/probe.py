"""How `flask doctor` asks the site what it sees of a request. Only a signed question is answered.

The answer has the visitor's address, the scheme and the host, as the proxy's headers make them.
"""

from __future__ import annotations

from itsdangerous import BadData, URLSafeTimedSerializer

HEADER = "X-Gossip-Doctor"
VALID_SECONDS = 60
_SALT = "doctor"


def sign(secret_key: str) -> str:
    """Return the header of a question."""
    return str(URLSafeTimedSerializer(secret_key, salt=_SALT).dumps("what do you see?"))


def is_signed(header: str, secret_key: str) -> bool:
    """Return whether the question comes from somebody with the site's key, a moment ago."""
    try:
        URLSafeTimedSerializer(secret_key, salt=_SALT).loads(header, max_age=VALID_SECONDS)
    except BadData:
        return False
    return True
