"""The matrix of permissions: who is tried with everything that moderation offers, on pages and on the socket.

`WHO` names everybody, with the roles they have; `may(who, act)` says what the table of permissions promises them. A
test walks all routes of its kind, asks for each which act it is (a route without one fails), and tries everybody.
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
    """Whether the table lets somebody do this."""
    return bool(RULES[act] & WHO[who])
