"""The fields of a game that its owner fills in, by the same names in models, services, forms and sync records."""

from __future__ import annotations

from dataclasses import dataclass

WIRE_NAMES = {"is_displayed": "display", "allows_character_registration": "allow_character_registration"}
"""The fields that forms, imports and frames call by another name (docs/protocol.md, §8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GameDetails:
    """What an owner says about a game.

    Attributes:
        short_name: The game's key on the network, matched without case.
        description: None or empty if there is none, as for `homepage_url`.
        is_displayed: Whether the game is in public lists.
        allows_character_registration: Whether players may claim their characters.
        show_players: Whether the game's page names who is online. It concerns the site alone and is not synced.
    """

    name: str
    short_name: str
    description: str | None = None
    homepage_url: str | None = None
    is_displayed: bool = True
    allows_character_registration: bool = True
    show_players: bool = True
