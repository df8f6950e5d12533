"""The built-in peer: the game `Grapevine`, which is the site itself (docs/protocol.md, §5 to §7).

Its players are `system`, which answers tells, and the people who chat in the browser, each under their username.
"""

from __future__ import annotations

from shared.peer_keys import PeerKey

KEY = PeerKey("grapevine")
SHORT_NAME = "Grapevine"
NAME = "Grapevine"
DESCRIPTION = "The player site of the network: profiles, characters, and chat from the browser"
SYSTEM = "system"
"""The player that answers tells: its name, and its key."""


def is_grapevine(short_name: str) -> bool:
    """Return whether this is Grapevine's short name, in any case."""
    return short_name.lower() == SHORT_NAME.lower()
