"""Who may do what: one table, for pages, for events of the socket and for the command line."""

from __future__ import annotations

from enum import StrEnum

from shared.errors import Forbidden
from shared.services.authority.actors import Actor, Role


class Act(StrEnum):
    """Everything that needs permission. The audit trail stores the value of the acts that it records."""

    SEE = "see"
    CREATE_CHANNEL = "channel/create"
    PROPOSE_CHANNEL = "channel/propose"
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
    NOTE = "note"
    RAID = "raid/start"
    RAID_OVER = "raid/end"
    SET_PROBATION = "probation"
    APPEAL = "appeal"
    DECIDE_APPEAL = "appeal/decide"
    EDIT_FILTERS = "filter"
    EDIT_PRESETS = "preset"
    MUTE_FOR_GAME = "game/mute"
    IGNORE = "ignore"
    SEE_TRANSPARENCY = "transparency"
    CREATE_USER = "user/create"
    GIVE_ROLE = "user/role"
    SET_PASSWORD = "user/password"
    MANAGE_GAMES = "game/manage"
    IMPORT_GAMES = "game/import"
    REQUEST_APPLICATION = "application/request"
    MANAGE_APPLICATIONS = "application/manage"
    GIVE_SCOPES = "application/scopes"
    ANNOUNCE_RESTART = "network/restart"
    RESTORE_BACKUP = "database/restored"
    MOVE_NETWORK = "network/move"
    ROTATE_KEYS = "oauth/rotate-keys"


_EVERYBODY = frozenset(Role)
_STAFF = frozenset([Role.MODERATOR, Role.ADMIN, Role.OPERATOR])
_ADMINS = frozenset([Role.ADMIN, Role.OPERATOR])
_OPERATOR = frozenset([Role.OPERATOR])
_STAFF_AND_APPLICATIONS = _STAFF | {Role.MODERATING_APPLICATION}
_PEOPLE = frozenset([Role.PLAYER])

RULES: dict[Act, frozenset[Role]] = {
    Act.SEE: _STAFF,
    Act.CREATE_CHANNEL: _ADMINS,
    Act.PROPOSE_CHANNEL: _ADMINS | {Role.OWNER},
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
    Act.NOTE: _STAFF,
    Act.RAID: _STAFF,
    Act.RAID_OVER: _STAFF,
    Act.SET_PROBATION: _ADMINS,
    Act.APPEAL: _PEOPLE,
    Act.DECIDE_APPEAL: _STAFF,
    Act.EDIT_FILTERS: _STAFF,
    Act.EDIT_PRESETS: _ADMINS,
    Act.MUTE_FOR_GAME: _ADMINS | {Role.OWNER},
    Act.IGNORE: _PEOPLE,
    Act.SEE_TRANSPARENCY: _EVERYBODY,
    Act.CREATE_USER: _OPERATOR,
    Act.GIVE_ROLE: _ADMINS,
    Act.SET_PASSWORD: _OPERATOR,
    Act.MANAGE_GAMES: _ADMINS,
    Act.IMPORT_GAMES: _OPERATOR,
    Act.REQUEST_APPLICATION: _PEOPLE,
    Act.MANAGE_APPLICATIONS: _ADMINS,
    Act.GIVE_SCOPES: _ADMINS,
    Act.ANNOUNCE_RESTART: _ADMINS,
    Act.RESTORE_BACKUP: _OPERATOR,
    Act.MOVE_NETWORK: _OPERATOR,
    Act.ROTATE_KEYS: _OPERATOR,
}
"""The roles that may do each act; an actor needs one of them.

Services ask beside this what depends on the record: whether a game is the actor's own (owners may change their game
without MANAGE_GAMES), whether a sanction is about a moderator, whether an appeal is about the actor's own act.
"""


def may(actor: Actor, act: Act) -> bool:
    """Return True if one of the actor's roles may do this."""
    return bool(RULES[act] & actor.roles)


def require(actor: Actor, act: Act) -> None:
    """Raise Forbidden unless the actor may do this."""
    if may(actor, act):
        return
    if RULES[act] == _ADMINS:
        raise Forbidden("only admins may do this")
    raise Forbidden("only moderators may do this" if RULES[act] >= _STAFF else "you may not do this")
