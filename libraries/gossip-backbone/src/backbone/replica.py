"""The replica: a connection as an application, whose sync is applied to the host's own database."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from gossip_client import (
    AuthenticationFailed,
    AuthenticationRefused,
    Connected,
    ConnectFailed,
    Disconnected,
    Event,
    GossipError,
    RequestFailed,
    SyncComplete,
    SyncRecords,
    requests,
)
from gossip_client.requests import Request
from gossip_client.sync import Client
from sqlalchemy import Engine, create_engine

from backbone.errors import BackboneError, DatabaseFailed, HookFailed
from backbone.kinds import DEFAULT_KINDS, Kind
from backbone.migrations import migrate
from backbone.store import Action, Applied, Change, Deletes, Hook, Store

_log = logging.getLogger("backbone")
_EVENTS_AT_ONCE = 100  # in one transaction, where that many wait
_ASK_AGAIN_SECONDS = 10.0  # after the server failed to send the whole state
_SILENT_SECONDS = 10.0  # after we were let in, without anything of the sync
_NOT_ALLOWED = ("not-an-application", "missing-scope")
H = TypeVar("H", bound=Hook)
N = TypeVar("N", bound=Callable[[Sequence[Change]], Any])


class Backbone:
    """One replica. `run` keeps it up to date until `stop`; `start` does so in a thread of its own.

    engine: the host's own, or a URL of its database. deletes: "remove" the rows of deleted records, or keep them as
    "tombstones" (`deleted_at` set), for hosts whose rows refer to them. network: a name for it; one database holds one.
    database_seconds: how long a database that fails is tried again. options: of `gossip_client.sync.Client`.
    """

    def __init__(
        self,
        engine: Engine | str,
        url: str,
        client_id: str,
        client_secret: str,
        *,
        kinds: Iterable[Kind] = DEFAULT_KINDS,
        deletes: Deletes = "remove",
        network: str = "default",
        checks_digests: bool = True,
        database_seconds: float = 30.0,
        **options: Any,
    ) -> None:
        self.engine = create_engine(engine) if isinstance(engine, str) else engine
        self.store = Store(self.engine, kinds, network=network, deletes=deletes, checks_digests=checks_digests)
        options.setdefault("user_agent", "gossip-backbone")
        options.setdefault("keeps_view", False)
        self.client = Client(url, client_id, client_secret, sync=self._wanted, **options)
        self.on_event: Callable[[Event], object] = lambda event: None
        self.on_applied: Callable[[Applied], object] = lambda applied: None
        self._database_seconds = database_seconds
        self._listeners: list[Callable[[Sequence[Change]], Any]] = []
        self._since: int | None = None
        self._stopping = threading.Event()
        self._synced = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_whole_asked_for = False
        self._ask_again_at: float | None = None
        self._silent_at: float | None = None
        self._refusal: RequestFailed | None = None

    # Set up

    def register(self, kind: Kind) -> None:
        """Keep another kind of records. Before `run`; the whole state is asked for the first time.

        Raises TypeError where a column of it would change values on this database.
        """
        self.store.register(kind)

    def on(self, kind: str, *actions: Action) -> Callable[[H], H]:
        """Decorator: call `hook(session, change)` after a record was created, updated or deleted.

        No action named: all three. It runs in the transaction of the change, so that what it writes in the session is
        committed with the change or not at all. It must not commit; an error that it raises stops the replica.
        """

        def register(hook: H) -> H:
            for action in actions or ("created", "updated", "deleted"):
                self.store.hooks.setdefault((kind, action), []).append(hook)
            return hook

        return register

    def on_commit(self, listener: N) -> N:
        """Decorator: call `listener(changes)` when changes have been committed. Its errors are logged, and no more."""
        self._listeners.append(listener)
        self.store.wants_changes = True
        return listener

    # Running

    def run(self, *, connect_seconds: float = 30.0) -> None:
        """Keep the replica up to date, in this thread, until `stop`.

        Raises DatabaseFailed, HookFailed, WrongNetwork; ConnectFailed if the first connection cannot be made;
        AuthenticationFailed; RequestFailed where this client may not sync.
        """
        if self._stopping.is_set():
            return
        migrate(self.engine)
        self._since = self.store.since()
        self._refusal = None
        try:
            self.client.connect(seconds=connect_seconds)
            self._follow()
        finally:
            self._synced.clear()
            self.client.close()

    def start(self) -> None:
        """Run in a thread, if it does not yet. A network or a database that cannot be reached is tried again for ever;
        other failures are logged, and end it."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run_for_ever, name="backbone", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End `run`, and wait for the thread of `start`."""
        self._stopping.set()
        self.client.close()
        thread, deadline = self._thread, time.monotonic() + 30
        if thread is None or thread is threading.current_thread():
            return
        while thread.is_alive() and time.monotonic() < deadline:
            self.client.close()  # it may just have begun to connect
            thread.join(0.2)

    def wait_synced(self, seconds: float | None = None) -> bool:
        """Wait until the replica is whole and up to date; False if it is not in time."""
        return self._synced.wait(seconds)

    def _run_for_ever(self) -> None:
        wait = 1.0
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                self.run()
            except (ConnectFailed, DatabaseFailed) as error:
                if self._stopping.is_set():
                    return
                if time.monotonic() - begun > 300:
                    wait = 1.0
                _log.warning("trying again in %.0f s: %s", wait, error)
                self._stopping.wait(wait)
                wait = min(60.0, wait * 2)
            except Exception as error:
                if not self._stopping.is_set():
                    is_plain = isinstance(error, BackboneError | GossipError) and not isinstance(error, HookFailed)
                    _log.error("the replica has stopped: %s", error, exc_info=None if is_plain else error)
                return

    def _wanted(self) -> dict[str, int] | None:
        return None if self._since is None else {"since": self._since}

    def _follow(self) -> None:
        while not self._stopping.is_set():
            if self._refusal is not None:
                raise self._refusal
            if self._ask_again_at is not None and time.monotonic() >= self._ask_again_at:
                self._ask_for_whole()
            if self._silent_at is not None and time.monotonic() >= self._silent_at:
                self._ask(self._since)  # who may not sync is not told so before
            events = self.client.take(seconds=1.0, limit=_EVENTS_AT_ONCE)
            if not events and self.client.is_closed:
                return
            batch: list[SyncRecords | SyncComplete] = []
            for event in events:
                if isinstance(event, SyncRecords | SyncComplete):
                    batch.append(event)
                    continue
                self._apply(batch)
                batch = []
                self._heard(event)
            self._apply(batch)

    def _heard(self, event: Event) -> None:
        if isinstance(event, Connected):
            self.store.start_over()
            self._is_whole_asked_for, self._ask_again_at = False, None
            self._silent_at = time.monotonic() + _SILENT_SECONDS
        elif isinstance(event, Disconnected):
            self._silent_at = None
            self._synced.clear()
        self.on_event(event)
        if isinstance(event, AuthenticationRefused):
            raise AuthenticationFailed("authenticate", event.error, code=event.code)

    def _apply(self, batch: list[SyncRecords | SyncComplete]) -> None:
        if not batch:
            return
        self._silent_at = None
        applied = self._apply_patiently(batch)
        if applied is None:
            return
        self._since = applied.cursor
        if applied.is_complete:
            self._is_whole_asked_for, self._ask_again_at = False, None
            self._synced.set()
        if applied.is_lacking:
            self._synced.clear()
            if not self._is_whole_asked_for:
                self._ask_for_whole()
        if applied.changes:
            for listener in self._listeners:
                try:
                    listener(applied.changes)
                except Exception:
                    _log.exception("a listener failed")
        self.on_applied(applied)

    def _ask_for_whole(self) -> None:
        self._is_whole_asked_for, self._ask_again_at = True, None
        self._since = None
        self._ask(None)

    def _ask(self, since: int | None) -> None:
        self._silent_at = None
        request = requests.sync(since)
        request.on_done = self._sync_ended
        self.client.post(request)

    def _sync_ended(self, request: Request[SyncComplete]) -> None:
        """Called from another thread. If it failed: again, a little later. (A new connection brings it by itself.)"""
        error = request.error
        if isinstance(error, RequestFailed) and error.code in _NOT_ALLOWED:
            self._refusal = error
        elif error is not None:
            _log.warning("the records did not come: %s", error)
            self._ask_again_at = time.monotonic() + _ASK_AGAIN_SECONDS

    def _apply_patiently(self, batch: list[SyncRecords | SyncComplete]) -> Applied | None:
        """Apply, and try again for a while where the database fails: a lock goes away, a server comes back."""
        deadline = time.monotonic() + self._database_seconds
        wait = 0.1
        while True:
            try:
                return self.store.apply(batch)
            except DatabaseFailed as error:
                if time.monotonic() + wait > deadline:
                    raise
                _log.warning("%s; trying again", error)
                if self._stopping.wait(wait):
                    return None
                wait = min(2.0, wait * 2)
