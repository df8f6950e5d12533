"""Patterns of `name@game`, where `*` matches anything, and sets of patterns."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar, cast

from shared.errors import Invalid
from shared.protocol.text import clean_line
from shared.protocol.types import player_key

PATTERN_LONGEST = 100
MAX_STARS = 4
GRAM = 3  # characters through which a pattern is found
MAX_GRAMS = 16
MAX_CHECKS = 2_000

_GAME = re.compile(r"[a-z0-9*]{1,15}")

K = TypeVar("K", bound=Hashable)


def parse_pattern(text: str) -> str:
    """Return a pattern as it is stored: `Spam*@*` becomes `spam*@*`. Raises Invalid (field `pattern`)."""
    name, at, game = clean_line(text).rpartition("@")
    name, game = player_key(name.strip()), "".join(game.split()).lower()
    if not at or not name or not game:
        raise Invalid("write name@game, with * for anything: *@Game, spam*@*", field="pattern")
    name = re.sub(r"\*+", "*", name)
    game = re.sub(r"\*+", "*", game)
    if not _GAME.fullmatch(game):
        raise Invalid("after the @, write a game's short name: letters, digits, and * for anything", field="pattern")
    if (name + game).count("*") > MAX_STARS:
        raise Invalid(f"a pattern may have at most {MAX_STARS} stars", field="pattern")
    if len(name) + len(game) >= PATTERN_LONGEST:
        raise Invalid(f"a pattern may have at most {PATTERN_LONGEST} characters", field="pattern")
    return f"{name}@{game}"


def subject(name: str, game: str) -> str:
    """Return a player as patterns are matched against them."""
    return f"{player_key(name)}@{game.lower()}"


class _Starred:
    """A pattern with stars, and the keys that have it. `gram` is its place in the index."""

    __slots__ = ("game_pieces", "gram", "keys", "name_pieces")

    def __init__(self, pattern: str) -> None:
        name, _, game = pattern.rpartition("@")
        self.name_pieces = name.split("*")
        self.game_pieces = game.split("*")
        self.keys: set[Hashable] = set()
        self.gram = ""

    def list_grams(self) -> list[str]:
        """Return pieces of up to GRAM characters, each of which every matching subject contains."""
        grams = [gram for piece in self.name_pieces if piece for gram in _split_into_grams(piece)]
        grams += [f"@{gram}" for piece in self.game_pieces if piece for gram in _split_into_grams(piece)]
        return grams[:MAX_GRAMS] or [""]

    def matches(self, name: str, game: str) -> bool:
        return _fits(self.game_pieces, game) and _fits(self.name_pieces, name)


class PatternSet(Generic[K]):
    """Patterns with a key each.

    All patterns without a `*` cost one look-up. Each of the others is found through a few of its characters: those that
    the fewest other patterns are found through. Whatever people have written, at most MAX_CHECKS patterns are compared
    with a subject, which takes about a microsecond each. Those found through rare characters come first, so that many
    hostile patterns do not disable others.
    """

    def __init__(self, patterns: Iterable[tuple[K, str]] = ()) -> None:
        self._exact: dict[str, set[Hashable]] = {}
        self._starred: dict[str, _Starred] = {}
        self._by_gram: dict[str, dict[str, _Starred]] = {}
        for key, pattern in patterns:
            self.add(key, pattern)

    def __bool__(self) -> bool:
        return bool(self._exact or self._starred)

    def add(self, key: K, pattern: str) -> None:
        """Add a pattern to those of a key."""
        if "*" not in pattern:
            self._exact.setdefault(pattern, set()).add(key)
            return
        starred = self._starred.get(pattern)
        if starred is None:
            starred = self._starred[pattern] = _Starred(pattern)
            starred.gram = min(starred.list_grams(), key=lambda gram: len(self._by_gram.get(gram, ())))
            self._by_gram.setdefault(starred.gram, {})[pattern] = starred
        starred.keys.add(key)

    def remove(self, key: K, pattern: str) -> None:
        """Remove a pattern from those of a key. Does nothing if the key does not have it."""
        if pattern in self._exact:
            self._exact[pattern].discard(key)
            if not self._exact[pattern]:
                del self._exact[pattern]
        elif pattern in self._starred:
            starred = self._starred[pattern]
            starred.keys.discard(key)
            if not starred.keys:
                del self._starred[pattern], self._by_gram[starred.gram][pattern]
                if not self._by_gram[starred.gram]:
                    del self._by_gram[starred.gram]

    def matches(self, subject: str) -> frozenset[K]:
        """Return the keys of the patterns that match the subject."""
        keys = set(self._exact.get(subject, ()))
        if self._starred:
            name, _, game = subject.rpartition("@")
            for starred in islice(self._find_candidates(name, game), MAX_CHECKS):
                if not starred.keys <= keys and starred.matches(name, game):
                    keys |= starred.keys
        return cast("frozenset[K]", frozenset(keys))

    def _find_candidates(self, name: str, game: str) -> Iterator[_Starred]:
        grams = {"", *_list_parts(name), *(f"@{part}" for part in _list_parts(game))}
        groups = [group for gram in grams if (group := self._by_gram.get(gram)) is not None]
        for group in sorted(groups, key=len):
            yield from group.values()


def _split_into_grams(piece: str) -> list[str]:
    return [piece[start : start + GRAM] for start in range(max(1, len(piece) - GRAM + 1))]


def _list_parts(text: str) -> Iterator[str]:
    """Yield every part of a text that has up to GRAM characters."""
    for start in range(len(text)):
        for length in range(1, min(GRAM, len(text) - start) + 1):
            yield text[start : start + length]


def _fits(pieces: list[str], text: str) -> bool:
    """Return True if a text consists of these pieces in order, with anything between them."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return text == first
    if not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in pieces[1:-1]:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return at <= end
