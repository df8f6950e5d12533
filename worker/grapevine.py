"""The built-in peer: the game `Grapevine` with the player `system`, always online (docs/protocol.md, §5 to §7).

Every worker has `system` in its own presence view, without a socket, where everything looks that looks for any other
game. Its other players are the people who chat in the browser: each page has a socket (`browser.py`).
"""

from __future__ import annotations

from shared.grapevine import DESCRIPTION, KEY, NAME, SHORT_NAME, SYSTEM
from shared.presence import SocketPresence
from shared.protocol.core import PROTOCOL_VERSION, SUPPORT_FLAGS
from shared.protocol.types import player_key
from shared.services.peers import GRAPEVINE as PEER

__all__ = ["DESCRIPTION", "KEY", "NAME", "PEER", "SHORT_NAME", "SYSTEM"]

IGNORE_LATER = "This could not be noted just now: try again in a minute."
GAMES_ONLY = "Only games have characters to register."
LATER = "Your registration could not be looked at just now. Your key is still good: try again in a minute."


def presence(worker_id: str) -> SocketPresence:
    """`system`, as the presence view knows it. Those who chat in the browser have sockets of their own."""
    return SocketPresence(
        id=KEY,
        worker=worker_id,
        peer=KEY,
        game=SHORT_NAME,
        version=PROTOCOL_VERSION,
        supports=[flag for flag in SUPPORT_FLAGS if flag != "achievements"],
        players=[SYSTEM],
    )


def help_text(public_url: str) -> str:
    """What `system` answers to whatever is no request."""
    return (
        "This is Grapevine, the player site of the network. There, players have a profile, claim their characters in "
        f"every connected game, and chat from the browser: {public_url}/chat . "
        'Tell me "register" and your key from the site to claim this character; '
        '"ignore Bob@Game", "unignore Bob@Game" or "ignores" to choose whose tells you hear.'
    )


def is_system(name: str) -> bool:
    """True for the player that answers tells."""
    return player_key(name) == SYSTEM
