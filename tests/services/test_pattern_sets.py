"""Sets of patterns: they find what comparing each finds, and cost little however hostile the patterns are."""

from __future__ import annotations

import contextlib
import os
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Invalid
from shared.services.moderation.patterns import PatternSet, parse_pattern, subject


@pytest.mark.skipif("COVERAGE_PROCESS_CONFIG" in os.environ, reason="measuring coverage takes time too")
@pytest.mark.parametrize(
    "hostile",
    [
        [f"*{'a' * i}*{'a' * j}*{'a' * k}b@*" for i in range(1, 28) for j in range(1, 28) for k in range(1, 28)],
        [f"*aaa*{chr(0x4E00 + number)}@*" for number in range(20_000)],
        [f"*@*{number % 10}*{number}" for number in range(20_000)],
        [f"a*{number}@*" for number in range(20_000)],
    ],
    ids=["one letter", "one syllable", "games", "one beginning"],
)
def test_however_people_ignore_a_line_costs_little(hostile):
    """A hundred people may ignore 200 patterns each. An honest person's pattern still works among them."""
    patterns = [(number, parse_pattern(pattern)) for number, pattern in enumerate(hostile[:20_000])]
    ignores = PatternSet(patterns)
    ignores.add(-1, parse_pattern("*a*spam*@Oak"))
    began = time.process_time()
    for number in range(10):
        ignores.matches(subject(f"{'a' * 50}x{number}", "1234567890"))
    assert time.process_time() - began < 0.1, "10 ms a line, on a busy machine; it takes about two"
    assert -1 in ignores.matches(subject("aaaaaa spam", "Oak"))


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.text("ab*", min_size=1, max_size=6), st.text("ab*", min_size=1, max_size=3))
    )
)
def test_a_set_finds_what_comparing_each_pattern_finds(entries):
    """Also after patterns were removed."""
    patterns = []
    for key, name, game in entries:
        with contextlib.suppress(Invalid):
            patterns.append((key, parse_pattern(f"{name}@{game}")))
    whole = PatternSet(patterns)
    kept = patterns[::2]
    for key, pattern in set(patterns) - set(kept):
        whole.remove(key, pattern)
    for player in ("a@a", "ab@b", "abab@ab", "bbaab@ba", "b@aab"):
        expected = {key for key, pattern in kept if _matches(pattern, player)}
        assert whole.matches(player) == expected


def _matches(pattern, player):
    (name, _, game), (player_name, _, player_game) = pattern.rpartition("@"), player.rpartition("@")
    return all(
        re.fullmatch(re.escape(part).replace(r"\*", ".*"), text)
        for part, text in ((name, player_name), (game, player_game))
    )
