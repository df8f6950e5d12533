"""All play sessions of this gateway: opening, finding and ending them, and how many there may be."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.game_connections import ConnectFailed, GameConnections
from gateway.play import access as access_rules
from gateway.play.access import Access
from gateway.play.messages import Open
from gateway.play.session import PlaySession
from gateway.telnet.client import Terminal
from shared import __version__
from shared.encodings import ENCODINGS
from shared.errors import DomainError, InvalidCredentials, TooMany, Unavailable
from shared.play_tokens import LIFETIME_SECONDS, read_token

SWEEP_SECONDS = 1.0
CHECKS_PER_SWEEP = 50  # sessions whose access is checked again, so a thousand take 20 seconds

Key = TypeVar("Key", str, int)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Caps:
    """How many sessions there may be, and for how long.

    Attributes:
        resume_seconds: how long a session waits for its page to come back.
        idle_seconds: how long it lasts without anything typed.
    """

    per_person: int = 5
    per_game: int = 200
    total: int = 2_000
    resume_seconds: float = 60.0
    idle_seconds: float = 3_600.0


NO_CAPS = Caps(per_person=100_000, per_game=100_000, total=100_000)


class Sessions:
    """The sessions by their secret."""

    def __init__(self, connections: GameConnections, *, signing_keys: list[str], caps: Caps) -> None:
        self._connections = connections
        self._signing_keys = signing_keys
        self._caps = caps
        self._by_secret: dict[str, PlaySession] = {}
        self._persons: Counter[str] = Counter()
        self._games: Counter[int] = Counter()
        self._used_tokens: dict[str, float] = {}
        self._checks: Iterator[PlaySession] = iter(())
        self.opened = 0
        self.refused = 0

    def __len__(self) -> int:
        return sum(self._games.values())

    async def open(self, request: Open, address: str) -> PlaySession:
        """Connect to the game of a token.

        Raises:
            DomainError: The token is not valid, the owner does not allow it, there are too many sessions, or the game
                does not answer.
        """
        try:
            return await self._open(request, address)
        except DomainError:
            self.refused += 1
            raise

    async def _open(self, request: Open, address: str) -> PlaySession:
        token = read_token(self._signing_keys, request.token)
        now = time.monotonic()
        self._used_tokens = {number: at for number, at in self._used_tokens.items() if now - at < 2 * LIFETIME_SECONDS}
        if token.number in self._used_tokens:
            raise InvalidCredentials("this token was used before")
        self._used_tokens[token.number] = now
        access = Access(token, address)
        try:
            target = await asyncio.to_thread(access_rules.admit, access)
        except SQLAlchemyError as error:
            _log.error("nobody can play while the database is down", error=str(error))
            raise Unavailable("the network's database is down: try again in a moment") from None
        self._require_room(access.person, target.game_id)
        self._persons[access.person] += 1
        self._games[target.game_id] += 1
        try:
            reader, writer = await self._connections.open(target.host, target.port, is_tls=target.is_tls)
        except BaseException as error:
            self._release(access.person, target.game_id)
            if isinstance(error, ConnectFailed):
                raise Unavailable(error.text) from None
            raise
        terminal = Terminal(
            version=__version__,
            columns=request.columns,
            rows=request.rows,
            encoding=request.encoding if request.encoding in ENCODINGS else target.encoding,
            uses_screen_reader=request.uses_screen_reader,
            is_tls=target.is_tls,
            address=address if target.sends_address else "",
        )
        session = PlaySession(target, access, terminal, reader, writer)
        self._by_secret[session.secret] = session
        self.opened += 1
        _log.info("play session opened", game=target.game_id, user=token.user_id)
        return session

    def find(self, secret: str) -> PlaySession | None:
        """Return the session with this secret."""
        return self._by_secret.get(secret)

    async def sweep(self) -> None:
        """End sessions that are idle, have lost their page or may no longer go on. Runs until it is cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for session in list(self._by_secret.values()):
                is_left = session.detached_at is not None and now - session.detached_at > self._caps.resume_seconds
                if is_left:
                    session.end("left", "the page did not come back")
                elif now - session.typed_at > self._caps.idle_seconds:
                    session.end("idle", "nothing was typed for a long time")
                if session.has_ended and (is_left or session.backlog.confirmed == session.backlog.last):
                    self._remove(session)
            await self._check_some()

    def end_all(self) -> None:
        """End every session, since the gateway stops."""
        for session in self._by_secret.values():
            session.end("restart", "the gateway is restarting: connect again in a moment")

    async def _check_some(self) -> None:
        """Check whether some sessions may go on: accounts, bans and owners' decisions change."""
        sessions = [session for _, session in zip(range(CHECKS_PER_SWEEP), self._checks, strict=False)]
        if len(sessions) < CHECKS_PER_SWEEP:
            self._checks = iter(list(self._by_secret.values()))
        waiting = [session for session in sessions if not session.has_ended]
        if not waiting:
            return
        try:
            refusals = await asyncio.to_thread(
                lambda: [access_rules.find_refusal(session.access, session.target) for session in waiting]
            )
        except SQLAlchemyError as error:
            _log.error("access to games cannot be checked", error=str(error))
            return
        for session, refusal in zip(waiting, refusals, strict=True):
            if refusal is not None:
                session.end("refused", refusal)

    def _require_room(self, person: str, game_id: int) -> None:
        if self._persons[person] >= self._caps.per_person:
            raise TooMany("you have too many games open: close one of them")
        if self._games[game_id] >= self._caps.per_game or len(self) >= self._caps.total:
            raise TooMany("too many people play through this site at the moment: use a MUD client")

    def _release(self, person: str, game_id: int) -> None:
        _count_down(self._persons, person)
        _count_down(self._games, game_id)

    def _remove(self, session: PlaySession) -> None:
        del self._by_secret[session.secret]
        self._release(session.access.person, session.target.game_id)


def _count_down(counts: Counter[Key], key: Key) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
