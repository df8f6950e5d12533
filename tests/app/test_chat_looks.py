"""The chat's colours, read from the stylesheets: every hue can be read on every background, in both themes."""

from __future__ import annotations

import re

import pytest

from app.chat.colours import HUES
from app.modules import FOLDER

SITE = (FOLDER.parent / "site.css").read_text()
CHAT = (FOLDER.parent / "chat.css").read_text()
DARK = "@media (prefers-color-scheme: dark)"


def colours(sheet: str, prefix: str, *, is_dark: bool) -> dict[str, str]:
    """Return the custom properties of one theme."""
    light, _, dark = sheet.partition(DARK)
    part = dark.split("}")[0] if is_dark else light
    return dict(re.findall(rf"--({prefix}[\w-]*): (#[0-9a-f]{{6}});", part))


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("is_dark", [False, True])
def test_every_hue_has_contrast_on_every_background(is_dark: bool) -> None:
    """At least 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    hues = colours(CHAT, "hue-", is_dark=is_dark)
    theme = colours(SITE, "", is_dark=is_dark)
    assert len(hues) == HUES and len(set(hues.values())) == HUES
    for background in ("paper", "raised", "sunken", "wine-soft"):
        for name, hue in hues.items():
            assert contrast(hue, theme[background]) >= 4.5, (name, background)
    assert re.findall(r"\.hue-(\d) \{ color: var\(--hue-\1\); \}", CHAT) == [str(n) for n in range(HUES)]
