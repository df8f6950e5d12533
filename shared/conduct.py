"""The rules of conduct by their names, which are also their anchors on `/conduct`."""

from __future__ import annotations

RULES: dict[str, str] = {
    "kindness": "Be kind to strangers",
    "harassment": "No harassment and no hatred",
    "suitable": "Keep it suitable for everyone",
    "flood": "Do not flood",
    "private": "Keep private things private",
    "impersonation": "Do not impersonate",
    "telling": "Tell your players",
    "players": "Look after your players",
    "secret": "Keep your secret safe",
}
