"""The connection of one browser that chats: a socket of `Grapevine`, for one account. Source: docs/browser-chat.md."""

from __future__ import annotations

from shared import grapevine
from shared.protocol.types import player_key
from shared.services.chat_accounts import ChatAccount
from shared.services.peers import GRAPEVINE
from worker.moderation.listeners import listener_key
from worker.moderation.sanctions import Speaker
from worker.sockets.connection import Callbacks, Connection
from worker.wire.transport import Transport

ONLINE_FLAGS = frozenset({"channels", "players", "tells"})
HIDDEN_FLAGS = frozenset({"channels", "tells"})


class BrowserConnection(Connection):
    """A connection that authenticates with an account instead of a game's credentials.

    Its only player is the account. It has no player if the account hides being online or is banned.

    Attributes:
        chatter: The account. None until the browser has authenticated.
        session_number: The number of the session that the page belongs to.
        is_reader: True for the page of a visitor, who reads without an account.
    """

    __slots__ = ("chatter", "is_reader", "session_number")

    def __init__(self, callbacks: Callbacks, transport: Transport) -> None:
        super().__init__(callbacks, transport)
        self.chatter: ChatAccount | None = None
        self.session_number = ""
        self.is_reader = False
        self.variant = 1  # broadcasts with their ids
        self.claimed_id = f"browser {transport.address}"

    @property
    def is_newcomer(self) -> bool:
        """True until the page has signed in or watches channels."""
        return self.peer is None and not self.is_reader

    @property
    def user_id(self) -> int | None:
        """The account's id."""
        return None if self.chatter is None else self.chatter.id

    @property
    def listener_key(self) -> str | None:
        """The key of the account. Not the peer's, since broadcasts are excluded by account."""
        return None if self.chatter is None else listener_key(self.chatter.id)

    def speaker(self, chatter: ChatAccount) -> Speaker:
        """Return this account as a speaker on this browser's socket."""
        name = chatter.username
        address = self.transport.address
        return Speaker(grapevine.KEY, grapevine.SHORT_NAME, name, player_key(name), address, chatter.id)

    def set_account(self, chatter: ChatAccount, *, is_hidden: bool) -> bool:
        """Set the account, or its new state.

        Returns:
            Whether this changes what others see of the socket.
        """
        before = self.supports, self.players
        self.chatter = chatter
        self.peer = GRAPEVINE
        self.supports = HIDDEN_FLAGS if is_hidden else ONLINE_FLAGS
        self.players = {} if is_hidden else {player_key(chatter.username): chatter.username}
        return before != (self.supports, self.players)
