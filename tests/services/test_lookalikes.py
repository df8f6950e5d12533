"""Which names look alike, and how names are compared."""

from __future__ import annotations

import pytest

from shared.protocol.text import is_blank
from shared.protocol.types import player_key
from shared.services.moderation.lookalikes import skeletons


@pytest.mark.parametrize(
    ("name", "other", "look_alike"),
    [
        ("Bob", "B0b", True),
        ("Bob", "\u0412\u043eb", True),
        ("Bill", "BiII", True),
        ("BILL", "bi11", True),
        ("Odo", "\U0001d40e\u0434o", False),
        ("Wren", "Wrem", False),
        ("Corn", "Com", False),
        ("Jos\u00e9", "Jose", False),
    ],
)
def test_names_look_alike(name: str, other: str, look_alike: bool) -> None:
    assert bool(skeletons(name) & skeletons(other)) is look_alike


@pytest.mark.parametrize(
    "same", ["WREN", "\uff37\uff32\uff25\uff2e", "W\u200bren", "\u2060Wren\ufeff", "Wr\u00aden", "\U000e0041Wren"]
)
def test_names_are_compared_without_case_width_and_invisible_characters(same: str) -> None:
    assert player_key(same) == "wren"
    assert player_key(player_key(same)) == player_key(same)


def test_composed_and_decomposed_letters_are_equal_and_differ_from_plain_ones() -> None:
    assert player_key("Jos\u00e9") == player_key("JOSE\u0301") != player_key("jose")


def test_a_text_of_invisible_characters_is_blank_and_an_emoji_is_not() -> None:
    assert is_blank("") and is_blank(" \u200b\u3164\u2800\ufe0f ")
    assert not is_blank("\u2764\ufe0f") and not is_blank("\U0001f469\u200d\U0001f4bb")
