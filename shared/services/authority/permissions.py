"""Who may do what: one table, for pages and for events of the socket alike."""

from __future__ import annotations

from enum import StrEnum

from shared.errors import Forbidden
from shared.services.authority.actors import Actor, Role


class Act(StrEnum):
    """Everything that moderation knows to do. The value is what the audit trail calls it."""

    SEE = "see"
    CREATE_CHANNEL = "channel/create"
    UPDATE_CHANNEL = "channel/update"
    DELETE_CHANNEL = "channel/delete"
    APPROVE_CHANNEL = "channel/approve"
    DESCRIBE_CHANNEL = "channel/describe"
    RENAME_CHANNEL = "channel/rename"
    HIDE_CHANNEL = "channel/hide"
    CLOSE_CHANNEL = "channel/close"
    OPEN_CHANNEL = "channel/open"
    PAUSE = "channel/pause"
    RESUME = "channel/resume"
    SLOW = "channel/slow"
    SANCTION = "sanction"
    LIFT = "lift"
    UNDO = "undo"
    RESTORE = "restore"
    REDACT = "redact"
    REPORT = "report"
    RESOLVE_REPORT = "report/resolve"
    APPEAL = "appeal"
    DECIDE_APPEAL = "appeal/decide"
    EDIT_FILTERS = "filter"
    MUTE_FOR_GAME = "game/mute"
    IGNORE = "ignore"
    SEE_TRANSPARENCY = "transparency"
    GIVE_ROLE = "user/role"
    SET_PASSWORD = "user/password"
    GIVE_SCOPES = "application/scopes"


_EVERYBODY = frozenset(Role)
_STAFF = frozenset([Role.MODERATOR, Role.ADMIN, Role.OPERATOR])
_ADMINS = frozenset([Role.ADMIN, Role.OPERATOR])
_STAFF_AND_APPLICATIONS = _STAFF | {Role.MODERATING_APPLICATION}
_PEOPLE = frozenset([Role.PLAYER])

RULES: dict[Act, frozenset[Role]] = {
    Act.SEE: _STAFF,
    Act.CREATE_CHANNEL: _ADMINS,
    Act.UPDATE_CHANNEL: _ADMINS,
    Act.DELETE_CHANNEL: _ADMINS,
    Act.APPROVE_CHANNEL: _STAFF,
    Act.DESCRIBE_CHANNEL: _STAFF,
    Act.RENAME_CHANNEL: _STAFF,
    Act.HIDE_CHANNEL: _STAFF,
    Act.CLOSE_CHANNEL: _STAFF,
    Act.OPEN_CHANNEL: _STAFF,
    Act.PAUSE: _STAFF_AND_APPLICATIONS,
    Act.RESUME: _STAFF_AND_APPLICATIONS,
    Act.SLOW: _STAFF,
    Act.SANCTION: _STAFF_AND_APPLICATIONS,
    Act.LIFT: _STAFF_AND_APPLICATIONS,
    Act.UNDO: _STAFF,
    Act.RESTORE: _STAFF,
    Act.REDACT: _STAFF_AND_APPLICATIONS,
    Act.REPORT: _PEOPLE | {Role.GAME},
    Act.RESOLVE_REPORT: _STAFF,
    Act.APPEAL: _PEOPLE,
    Act.DECIDE_APPEAL: _STAFF,
    Act.EDIT_FILTERS: _STAFF,
    Act.MUTE_FOR_GAME: frozenset([Role.OWNER, Role.ADMIN, Role.OPERATOR]),
    Act.IGNORE: _PEOPLE,
    Act.SEE_TRANSPARENCY: _EVERYBODY,
    Act.GIVE_ROLE: _ADMINS,
    Act.SET_PASSWORD: frozenset([Role.OPERATOR]),
    Act.GIVE_SCOPES: _ADMINS,
}
"""For each act the roles that may; one of them is enough. What depends on the very thing (an owner's own game, a
sanction of a moderator, an appeal of one's own act) the services ask beside this."""


def may(actor: Actor, act: Act) -> bool:
    """True if one of the actor's roles may do this."""
    return bool(RULES[act] & actor.roles)


def require(actor: Actor, act: Act) -> None:
    """Raise Forbidden unless the actor may do this."""
    if not may(actor, act):
        raise Forbidden("this is for moderators" if RULES[act] >= _STAFF else "you may not do this")
