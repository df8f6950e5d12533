"""The matrix of permissions: everybody who is tried with each act of moderation, on pages and on the socket.

`WHO` names them with their roles, and `may(who, act)` says what the table of permissions allows. A test goes through
all routes of its kind, looks up the act of each (a route without an act fails), and tries it as everybody.
"""

from __future__ import annotations

from shared.services.authority.actors import Role
from shared.services.authority.permissions import RULES, Act

WHO: dict[str, frozenset[Role]] = {
    "visitor": frozenset([Role.VISITOR]),
    "player": frozenset([Role.PLAYER]),
    "owner": frozenset([Role.PLAYER, Role.OWNER]),
    "moderator": frozenset([Role.PLAYER, Role.MODERATOR]),
    "admin": frozenset([Role.PLAYER, Role.ADMIN]),
    "game": frozenset([Role.GAME]),
    "application": frozenset([Role.APPLICATION]),
    "application with scope": frozenset([Role.APPLICATION, Role.MODERATING_APPLICATION]),
}
ON_PAGES = ("visitor", "player", "owner", "moderator", "admin")
ON_THE_SOCKET = ("game", "application", "application with scope")


def may(who: str, act: Act) -> bool:
    """Return whether the table allows somebody an act."""
    return bool(RULES[act] & WHO[who])
