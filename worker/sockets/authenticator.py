"""Authenticates games and applications, all that wait with one read of the database.

After a restart thousands of games come back within a second. One read for each would make every game wait for all the
others; one read for all that have come meanwhile costs little more than one for a single game.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

import gevent
from gevent.event import AsyncResult

from shared import traces
from shared.errors import InvalidCredentials
from shared.models.credentials import Credentials
from shared.peer_keys import PeerKey
from shared.request_ids import BatchWork, Work, current_work, working_for
from shared.services import history, peer_credentials
from shared.services.peers import Peer
from worker.database import Database

BATCH = 500


class Login:
    """One socket's authentication. Use it as a context manager, until the socket is listed under its peer.

    Attributes:
        peer: the peer as of the last read.
    """

    __slots__ = ("_authenticator", "_credentials", "is_stale", "peer")

    def __init__(self, authenticator: Authenticator, credentials: Credentials) -> None:
        self._authenticator = authenticator
        self._credentials = credentials
        self.is_stale = False
        self.peer = authenticator.read(self, credentials)

    def confirm(self) -> Peer:
        """Return the peer as it is now: read again only if it has changed since it was read. May wait.

        Raises:
            InvalidCredentials: The credentials are no longer valid.
        """
        while self.is_stale:
            self.is_stale = False
            self.peer = self._authenticator.read(self, self._credentials)
        return self.peer

    def __enter__(self) -> Login:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._authenticator.forget(self)


class _Waiting(NamedTuple):
    login: Login
    credentials: Credentials
    result: AsyncResult[Peer]
    work: Work | None


class Authenticator:
    """Reads the peers of all logins that wait, one batch at a time.

    Attributes:
        batches: how many reads there have been.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Waiting] = []
        self._logins: dict[PeerKey, set[Login]] = {}
        self._changed_during_read: set[str] = set()
        self._is_reading = False
        self.batches = 0
        self.on_position: Callable[[int], None] = lambda position: None

    def login(self, client_id: str, client_secret: str) -> Login:
        """Authenticate with these credentials. Waits for the database.

        Raises:
            InvalidCredentials: Nobody has them; WrongSecret if the id is a peer's.
            SQLAlchemyError: The database could not be read.
        """
        return Login(self, Credentials(client_id, client_secret))

    def peer_changed(self, key: PeerKey) -> None:
        """Let logins of this peer read it again. Called for every edit of a game and every revocation."""
        if self._is_reading:
            self._changed_during_read.add(key)
        for login in self._logins.get(PeerKey(key), ()):
            login.is_stale = True

    def read(self, login: Login, credentials: Credentials) -> Peer:
        """Read one login's peer together with those of all others that wait."""
        result: AsyncResult[Peer] = AsyncResult()
        self._waiting.append(_Waiting(login, credentials, result, current_work()))
        if not self._is_reading:
            self._is_reading = True
            gevent.spawn(self._read_all)
        peer = result.get()
        assert peer is not None
        return peer

    def forget(self, login: Login) -> None:
        """End a login: its socket is listed under its peer, or has failed."""
        logins = self._logins.get(login.peer.key)
        if logins is not None:
            logins.discard(login)
            if not logins:
                del self._logins[login.peer.key]

    def _read_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                with working_for(BatchWork([waiting.work for waiting in batch])):
                    with traces.span("read credentials", {"gossip.logins": len(batch)}):
                        self._read_batch(batch)
        finally:
            self._is_reading = False

    def _read_batch(self, batch: list[_Waiting]) -> None:
        self.batches += 1
        self._changed_during_read.clear()
        attempts = [waiting.credentials for waiting in batch]
        try:
            outcomes, position = self._database.read(
                lambda session: (
                    peer_credentials.authenticate_peers(session, attempts),
                    history.last_message_id(session),
                )
            )
        except Exception as error:
            for waiting in batch:
                waiting.result.set_exception(error)
            return
        self.on_position(position)
        for (login, _, result, _), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, InvalidCredentials):
                result.set_exception(outcome)
                continue
            login.is_stale = outcome.key in self._changed_during_read
            self._logins.setdefault(outcome.key, set()).add(login)
            result.set(outcome)
