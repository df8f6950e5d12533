"""One browser that chats: a socket of the built-in peer `Grapevine`, for one account. Source: docs/browser-chat.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.protocol.types import player_key
from shared.services.chatters import Chatter
from worker import grapevine
from worker.moderation.sanctions import Speaker
from worker.moderation.view import listener_key
from worker.routes import BROWSER_ROUTES
from worker.sockets.connection import Connection
from worker.wire.transport import Transport

if TYPE_CHECKING:
    from worker.worker import Worker

ONLINE_FLAGS = frozenset({"channels", "players", "tells"})
HIDDEN_FLAGS = frozenset({"channels", "tells"})


class BrowserConnection(Connection):
    """As any connection, with other events, and an account instead of a game's credentials.

    chatter: whose browser it is, None until it has authenticated. Its only player is the account's name, or none where
    the account hides being online or is banned. session_number: of the session that its page is of.
    """

    __slots__ = ("chatter", "session_number")
    routes = BROWSER_ROUTES

    def __init__(self, worker: Worker, transport: Transport) -> None:
        super().__init__(worker, transport)
        self.chatter: Chatter | None = None
        self.session_number = ""
        self.variant = 1  # broadcasts with their ids
        self.claimed_id = f"browser {transport.address}"

    @property
    def user_id(self) -> int | None:
        """The account's id."""
        return None if self.chatter is None else self.chatter.id

    @property
    def listener_key(self) -> str | None:
        """The person: other people in their browsers hear what one of them does not want to."""
        return None if self.chatter is None else listener_key(self.chatter.id)

    def become(self, chatter: Chatter) -> bool:
        """Speak for this account, or for what has become of it. True if that changes what others see."""
        before = self.supports, self.players
        self.chatter = chatter
        self.peer = grapevine.PEER
        key, name = player_key(chatter.username), chatter.username
        speaker = Speaker(self.peer.key, self.peer.short_name, name, key, self.transport.address, chatter.id)
        is_hidden = chatter.is_online_hidden or self.worker.moderation.is_banned(speaker)
        self.supports = HIDDEN_FLAGS if is_hidden else ONLINE_FLAGS
        self.players = {} if is_hidden else {key: name}
        return before != (self.supports, self.players)

    def closed(self, code: int | None, reason: str) -> None:
        """The socket is gone (called by the transport, once)."""
        self.is_open = False
        self.worker.browsers.forget(self)
