"""One browser that chats: a socket of the built-in peer `Grapevine`, for one account. Source: docs/browser-chat.md."""

from __future__ import annotations

from shared import grapevine
from shared.protocol.types import player_key
from shared.services.chat_accounts import ChatAccount
from shared.services.peers import GRAPEVINE
from worker.moderation.sanctions import Speaker
from worker.moderation.view import listener_key
from worker.sockets.connection import Callbacks, Connection
from worker.wire.transport import Transport

ONLINE_FLAGS = frozenset({"channels", "players", "tells"})
HIDDEN_FLAGS = frozenset({"channels", "tells"})


class BrowserConnection(Connection):
    """A connection with an account in the place of a game's credentials.

    Its only player is the account's name, or none if the account hides being online or is banned.

    Attributes:
        chatter: the account; None until the browser has authenticated.
        session_number: the number of the session that the page belongs to.
    """

    __slots__ = ("chatter", "session_number")

    def __init__(self, callbacks: Callbacks, transport: Transport) -> None:
        super().__init__(callbacks, transport)
        self.chatter: ChatAccount | None = None
        self.session_number = ""
        self.variant = 1  # broadcasts with their ids
        self.claimed_id = f"browser {transport.address}"

    @property
    def user_id(self) -> int | None:
        """The account's id."""
        return None if self.chatter is None else self.chatter.id

    @property
    def listener_key(self) -> str | None:
        """The key of the person, since people in their browsers hear each other but may ignore each other too."""
        return None if self.chatter is None else listener_key(self.chatter.id)

    def speaker(self, chatter: ChatAccount) -> Speaker:
        """Return this account, speaking from this browser, as moderation knows it."""
        name = chatter.username
        address = self.transport.address
        return Speaker(grapevine.KEY, grapevine.SHORT_NAME, name, player_key(name), address, chatter.id)

    def become(self, chatter: ChatAccount, *, is_hidden: bool) -> bool:
        """Take on this account, or its new state.

        Returns:
            Whether that changes what others see of the socket.
        """
        before = self.supports, self.players
        self.chatter = chatter
        self.peer = GRAPEVINE
        self.supports = HIDDEN_FLAGS if is_hidden else ONLINE_FLAGS
        self.players = {} if is_hidden else {player_key(chatter.username): chatter.username}
        return before != (self.supports, self.players)
