"""The player `system` of the built-in game `Grapevine`, always online (docs/protocol.md, §5 to §7).

Every worker has `system` in its own presence view, without a socket, so that it is found like any other player. The
other players of Grapevine are the people who chat in the browser: each page has a socket (`worker/chat/browser.py`).
"""

from __future__ import annotations

from shared import grapevine
from shared.presence import SocketPresence
from shared.protocol.core import PROTOCOL_VERSION, SUPPORT_FLAGS
from shared.protocol.types import player_key

IGNORE_LATER = "This could not be noted just now: try again in a minute."
GAMES_ONLY = "Only games have characters to register."
LATER = "Your registration could not be looked at just now. Your key is still good: try again in a minute."


def presence(worker_id: str) -> SocketPresence:
    """Return `system` as the presence view lists it."""
    return SocketPresence(
        id=grapevine.KEY,
        worker=worker_id,
        peer=grapevine.KEY,
        game=grapevine.SHORT_NAME,
        version=PROTOCOL_VERSION,
        supports=tuple(flag for flag in SUPPORT_FLAGS if flag != "achievements"),
        players=[grapevine.SYSTEM],
    )


def help_text(public_url: str) -> str:
    """Return the answer to a tell that asks for nothing `system` knows."""
    return (
        "This is Grapevine, the player site of the network. There, players have a profile, claim their characters in "
        f"every connected game, and chat from the browser: {public_url}/chat . "
        'Tell me "register" and your key from the site to claim this character; '
        '"ignore Bob@Game", "unignore Bob@Game" or "ignores" to choose whose tells you hear.'
    )


def is_system(name: str) -> bool:
    """Return whether this is the name of `system`, in any case."""
    return player_key(name) == grapevine.SYSTEM
