"""Patterns of `name@game` with `*` for anything, and sets of them that match in time linear in the name's length."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import re2

from shared.errors import Invalid
from shared.protocol.text import clean_line
from shared.protocol.types import player_key

PATTERN_LONGEST = 100
_SET_BYTES = 64 * 1024 * 1024
_GAME = re.compile(r"[a-z0-9*]{1,15}")

K = TypeVar("K", bound=Hashable)


def parse_pattern(text: str) -> str:
    """A pattern as it is kept and matched: `Spam*@*` becomes `spam*@*`. Raises Invalid (field `pattern`)."""
    name, at, game = clean_line(text).rpartition("@")
    name, game = player_key(name.strip()), "".join(game.split()).lower()
    if not at or not name or not game:
        raise Invalid("write name@game, with * for anything: *@Game, spam*@*", field="pattern")
    name = re.sub(r"\*+", "*", name)
    game = re.sub(r"\*+", "*", game)
    if not _GAME.fullmatch(game):
        raise Invalid("after the @ comes a game's short name: letters, digits, * for anything", field="pattern")
    if len(name) + len(game) >= PATTERN_LONGEST:
        raise Invalid(f"a pattern has {PATTERN_LONGEST} characters at most", field="pattern")
    return f"{name}@{game}"


def subject(name: str, game: str) -> str:
    """A player as patterns see them."""
    return f"{player_key(name)}@{game.lower()}"


class PatternSet(Generic[K]):
    """Patterns, each with a key; says the keys of those that match. Those without a `*` cost a look-up together."""

    def __init__(self, patterns: Iterable[tuple[K, str]]) -> None:
        self._exact: dict[str, set[K]] = defaultdict(set)
        self._keys: list[K] = []
        expressions: list[str] = []
        for key, pattern in patterns:
            if "*" in pattern:
                self._keys.append(key)
                expressions.append(_expression(pattern))
            else:
                self._exact[pattern].add(key)
        self._set = _compile(expressions) if expressions else None

    def __bool__(self) -> bool:
        return bool(self._exact) or self._set is not None

    def matches(self, subject: str) -> frozenset[K]:
        """The keys of the patterns that the subject fits."""
        found = set(self._exact.get(subject, ()))
        if self._set is not None:
            found.update(self._keys[number] for number in self._set.Match(subject) or ())
        return frozenset(found)


def _expression(pattern: str) -> str:
    name, _, game = pattern.rpartition("@")
    return "".join([".*".join(map(re2.escape, name.split("*"))), "@", "[^@]*".join(map(re2.escape, game.split("*")))])


def _compile(expressions: list[str]) -> re2.Set:
    options = re2.Options()
    options.max_mem = _SET_BYTES
    options.log_errors = False
    options.dot_nl = True
    made = re2.Set.FullMatchSet(options)
    for expression in expressions:
        made.Add(expression)
    made.Compile()
    return made
