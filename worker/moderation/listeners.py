"""Which listeners do not receive what a player says: their game mutes the player, or they ignore the player.

Pure: no session, no socket, no clock. The site hides lines of the past by the same rules
(`shared/services/moderation/ignored_speakers.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from shared import grapevine, peer_keys
from shared.peer_keys import PeerKey
from shared.protocol.types import player_key
from shared.services.moderation.patterns import PatternSet, subject
from worker.moderation.sanctions import Speaker

MAX_PLAYERS = 20_000  # whose excluded listeners are remembered
_NO_LISTENERS: frozenset[str] = frozenset()
Ignores = dict[int, list[tuple[str | None, int | None]]]
"""For each user, pairs of a pattern and a person's id, one of which is None."""


def listener_key(user_id: int) -> str:
    """Return the key by which the fan-out excludes the browsers of an account from a broadcast."""
    return f"user:{user_id}"


class Listeners:
    """Which listeners the games' mutes and people's ignores exclude."""

    def __init__(self) -> None:
        self._mutes: PatternSet[str] = PatternSet([])
        self._muting: dict[tuple[str, str], frozenset[str]] = {}
        self._people: dict[tuple[PeerKey, str], int] = {}
        self._ignores: Ignores = {}
        self._ignore_sets: dict[int, PatternSet[str]] = {}
        self._ignore_index = _IgnoreIndex()
        self._ignoring: dict[tuple[str, str, str], frozenset[str]] = {}

    def update_mutes(self, mutes: Iterable[tuple[int, str]]) -> None:
        """Replace the patterns that games mute, given as pairs of a game's id and a pattern."""
        self._mutes = PatternSet((peer_keys.of_game(game_id), pattern) for game_id, pattern in mutes)
        self._muting.clear()

    def update_ignores(self, ignores: Ignores, people: dict[tuple[PeerKey, str], int]) -> None:
        """Replace whom people ignore, and the account behind each player (peer key, player key)."""
        self._ignores, self._people = ignores, people
        self._ignore_sets.clear()
        self._ignore_index.update(ignores)
        self._ignoring.clear()

    def muting_peers(self, peer: PeerKey, game: str, name: str) -> frozenset[str]:
        """Return the keys of the games that mute a player. Nobody can mute `system`."""
        if not self._mutes or (peer == grapevine.KEY and name == grapevine.SYSTEM):
            return _NO_LISTENERS
        muting = self._muting.get((game, name))
        if muting is None:
            if len(self._muting) >= MAX_PLAYERS:
                self._muting.clear()
            muting = self._muting[game, name] = self._mutes.matches(subject(name, game))
        return muting

    def excluded_listeners(self, peer: PeerKey, game: str, name: str) -> frozenset[str]:
        """Return who does not receive the channel lines of a player.

        Returns:
            The keys of the games that mute them, and the `listener_key` of the people who ignore them.
        """
        return self.muting_peers(peer, game, name) | self._ignoring_people(peer, game, name)

    def _ignoring_people(self, peer: PeerKey, game: str, name: str) -> frozenset[str]:
        """Return who ignores a player. Nobody can ignore `system` or themselves (as in `ignored_speakers.py`)."""
        if not self._ignores or (peer == grapevine.KEY and name == grapevine.SYSTEM):
            return _NO_LISTENERS
        ignoring = self._ignoring.get((peer, game, name))
        if ignoring is None:
            if len(self._ignoring) >= MAX_PLAYERS:
                self._ignoring.clear()
            person = self._people.get((peer, player_key(name)))
            ignoring = self._ignore_index.list_listeners(subject(name, game), person)
            self._ignoring[peer, game, name] = ignoring
        return ignoring

    def is_unwanted(self, receiver: tuple[PeerKey, str], sender: Speaker) -> bool:
        """Return whether a tell must not reach its receiver, who ignores the sender or whose game mutes them.

        Args:
            receiver: The peer key and the player key.
        """
        if receiver[0] in self.muting_peers(sender.peer, sender.game, sender.name):
            return True
        person = self._people.get(receiver)
        return person is not None and self._is_ignored(person, sender)

    def _is_ignored(self, user_id: int, sender: Speaker) -> bool:
        """Return whether a person ignores a player."""
        entries = self._ignores.get(user_id)
        if not entries:
            return False
        patterns = self._ignore_sets.get(user_id)
        if patterns is None:
            patterns = PatternSet([("", pattern) for pattern, _ in entries if pattern is not None])
            self._ignore_sets[user_id] = patterns
        if patterns and patterns.matches(subject(sender.name, sender.game)):
            return True
        person = sender.user_id or self._people.get((sender.peer, sender.key))
        return person is not None and any(ignored == person for _, ignored in entries)


class _IgnoreIndex:
    """Finds everyone who ignores a player."""

    def __init__(self) -> None:
        self._ignores: Ignores = {}
        self._patterns: PatternSet[int] = PatternSet()
        self._by_person: dict[int, set[int]] = defaultdict(set)

    def update(self, ignores: Ignores) -> None:
        """Replace what is ignored. Costs little unless much has changed: somebody may do it every second."""
        before, self._ignores = self._ignores, ignores
        for user_id in before.keys() | ignores.keys():
            old, new = before.get(user_id, []), ignores.get(user_id, [])
            if old == new:
                continue
            for pattern, person in set(old) - set(new):
                if pattern is not None:
                    self._patterns.remove(user_id, pattern)
                if person is not None:
                    self._by_person[person].discard(user_id)
            for pattern, person in set(new) - set(old):
                if pattern is not None:
                    self._patterns.add(user_id, pattern)
                if person is not None:
                    self._by_person[person].add(user_id)

    def list_listeners(self, player: str, person: int | None) -> frozenset[str]:
        """Return the `listener_key` of everyone who ignores a player.

        Args:
            player: The `subject` of the player.
            person: The account that the player belongs to, if any.
        """
        users = set(self._patterns.matches(player))
        if person is not None:
            users |= self._by_person.get(person, set())
            users.discard(person)
        return frozenset(map(listener_key, users))
