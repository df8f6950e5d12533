"""The software that a game runs, as it is named in `user_agent`: `ExVenture 0.25.0`."""

from __future__ import annotations

import re

TOOLS = frozenset({"gossip-client doctor", "gossip-client chat"})
"""User agents of programs that only try a game's credentials. Copies of gossip-client before 1.0 declare them."""

_VERSION = re.compile(r"[\s/]+(?:version\s*)?[vV]?[0-9]")


def name_of(user_agent: str) -> str:
    """Return the name without the version and what follows it: `ExVenture` for `ExVenture 0.25.0 (Linux)`.

    A version begins with a digit after white space or a slash, so `TMI-2` is a name.
    """
    return _VERSION.split(user_agent, maxsplit=1)[0].strip() or user_agent.strip()


def is_tool(user_agent: str) -> bool:
    """Return whether this is not the software of a game."""
    return user_agent in TOOLS
