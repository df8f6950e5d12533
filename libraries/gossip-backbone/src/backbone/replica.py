"""The replica: connects as an application and applies the sync to the host's own database."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from gossip_client import (
    AuthenticationFailed,
    AuthenticationRefused,
    Connected,
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
from sqlalchemy.exc import SQLAlchemyError

from backbone.changes import Action, Applied, Change, Hook
from backbone.errors import BackboneError, DatabaseFailed, HookFailed, WrongNetwork
from backbone.kinds import DEFAULT_KINDS, Kind
from backbone.migrations import migrate
from backbone.rows import Deletes
from backbone.store import Store

_log = logging.getLogger("backbone")
_MAX_EVENTS = 100  # in one transaction
_ASK_AGAIN_SECONDS = 10.0  # after a failed request for the whole state
_SILENT_SECONDS = 10.0  # after signing in, without any sync event
_NOT_ALLOWED = ("not-an-application", "missing-scope")
_PASSING = (GossipError, BackboneError, SQLAlchemyError, OSError)
_FINAL = (
    *(RequestFailed, HookFailed, WrongNetwork),  # a person must act
    BrokenPipeError,  # `on_event` prints to a program that has ended; errors of sockets are GossipErrors
)
H = TypeVar("H", bound=Hook)
N = TypeVar("N", bound=Callable[[Sequence[Change]], Any])


class Backbone:
    """One replica. `run` keeps it up to date until `stop`; `start` does so in its own thread.

    In a process that was forked after `start`, the replica is not running. `start` or `run` begins anew there, with
    connections of its own.

    Args:
        engine: The host's own engine, or the URL of its database.
        url: The network's socket, `wss://…`.
        client_id: The application's.
        client_secret: The application's.
        kinds: The kinds of records to keep.
        deletes: "remove" the rows of deleted records, or keep them as "tombstones" with `deleted_at` set, for hosts
            whose rows refer to them.
        network: A name for the network. A database holds only one.
        checks_digests: Compare the replica with the network's digests after each reconnect.
        database_seconds: How long to try again while the database fails.
        options: Passed to `gossip_client.sync.Client`.
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
        self.client = Client(url, client_id, client_secret, sync=self._sync_request, **options)
        self.on_event: Callable[[Event], object] = lambda event: None
        self.on_applied: Callable[[Applied], object] = lambda applied: None
        self._database_seconds = database_seconds
        self._listeners: list[Callable[[Sequence[Change]], Any]] = []
        self._since: int | None = None
        self._set_up()
        self._has_asked_for_whole = False
        self._ask_again_at: float | None = None
        self._silent_at: float | None = None
        self._refusal: RequestFailed | None = None
        self._has_connected = False

    def _set_up(self) -> None:
        """Set the attributes of a replica that is not running."""
        self._process_id = os.getpid()
        self._stopping = threading.Event()
        self._synced = threading.Event()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def register(self, kind: Kind) -> None:
        """Keep another kind of records. Call this before `run`, which then asks for the whole state once.

        Raises:
            TypeError: A column of the kind would change values on this database.
        """
        self.store.register(kind)

    def on(self, kind: str, *actions: Action) -> Callable[[H], H]:
        """Return a decorator that registers `hook(session, change)` for changes of a kind; without actions, for all.

        The hook runs in the transaction of the change: what it writes with the session is committed together with the
        change or not at all. It must not commit. An error that it raises stops the replica.
        """

        def register(hook: H) -> H:
            for action in actions or ("created", "updated", "deleted"):
                self.store.hooks.setdefault((kind, action), []).append(hook)
            return hook

        return register

    def on_commit(self, listener: N) -> N:
        """Decorate a function that is called with the changes after each commit. Its errors are only logged."""
        self._listeners.append(listener)
        self.store.wants_changes = True
        return listener

    def run(self, *, connect_seconds: float = 30.0) -> None:
        """Keep the replica up to date in this thread until `stop`.

        Raises:
            DatabaseFailed: The database cannot be used, or has failed for `database_seconds`.
            HookFailed: A hook raised an error.
            WrongNetwork: The database holds another network.
            ConnectFailed: The first connection failed for `connect_seconds`.
            AuthenticationFailed: The network refused the credentials.
            RequestFailed: This client may not sync.
        """
        if self._is_forked:
            self._forget_parent()
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

    def run_forever(self, *, connect_seconds: float = 30.0, is_patient: bool = False) -> None:
        """Run until `stop`, and try again after every fault that can pass: of the network, or of the database.

        Args:
            connect_seconds: As of `run`.
            is_patient: Try again even before the first connection, where `run` raises ConnectFailed or DatabaseFailed.

        Raises:
            HookFailed, WrongNetwork, AuthenticationFailed, RequestFailed: As `run` does. A person must act.
        """
        wait = 1.0
        while not self._stopping.is_set():
            started_at = time.monotonic()
            try:
                self.run(connect_seconds=connect_seconds)
            except _FINAL:
                raise
            except _PASSING as error:
                if self._stopping.is_set():
                    return
                if not (is_patient or self._has_connected):
                    raise
                if time.monotonic() - started_at > 300:
                    wait = 1.0
                _log.warning("trying again in %.0f s: %s", wait, error)
                self._stopping.wait(wait)
                wait = min(60.0, wait * 2)

    def start(self) -> None:
        """Run in a thread, unless it runs already.

        The thread tries again after every fault that can pass. What needs a person is logged and ends it: see
        `run_forever`.
        """
        if self._is_forked:
            self._forget_parent()
        with self._start_lock:
            if self.is_running:
                return
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run_in_thread, name="backbone", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End `run`, and wait up to 30 s for the thread of `start`."""
        if self._is_forked:
            return
        self._stopping.set()
        self.client.close()
        thread, deadline = self._thread, time.monotonic() + 30
        if thread is None or thread is threading.current_thread():
            return
        while thread.is_alive() and time.monotonic() < deadline:
            self.client.close()  # again: the thread may have been about to connect
            thread.join(0.2)

    @property
    def is_running(self) -> bool:
        """Whether the thread of `start` is running."""
        return not self._is_forked and self._thread is not None and self._thread.is_alive()

    def wait_synced(self, seconds: float | None = None) -> bool:
        """Wait until the replica is complete and up to date. Return False if the time runs out first."""
        return not self._is_forked and self._synced.wait(seconds)

    @property
    def _is_forked(self) -> bool:
        return self._process_id != os.getpid()

    def _forget_parent(self) -> None:
        """Start over in a forked process: the thread is gone, and the connections to the database are the parent's."""
        self.engine.dispose(close=False)
        self._set_up()

    def _run_in_thread(self) -> None:
        try:
            self.run_forever(is_patient=True)
        except Exception as error:
            if not self._stopping.is_set():
                is_expected = isinstance(error, BackboneError | GossipError) and not isinstance(error, HookFailed)
                _log.error("the replica has stopped: %s", error, exc_info=None if is_expected else error)

    def _sync_request(self) -> dict[str, int] | None:
        """Return the payload of the `sync` that a new connection sends."""
        return None if self._since is None else {"since": self._since}

    def _follow(self) -> None:
        while not self._stopping.is_set():
            if self._refusal is not None:
                raise self._refusal
            if self._ask_again_at is not None and time.monotonic() >= self._ask_again_at:
                self._ask_for_whole()
            if self._silent_at is not None and time.monotonic() >= self._silent_at:
                self._ask(self._since)  # only an explicit request is refused if this client may not sync
            events = self.client.take(seconds=1.0, limit=_MAX_EVENTS)
            if not events and self.client.is_closed:
                return
            batch: list[SyncRecords | SyncComplete] = []
            for event in events:
                if isinstance(event, SyncRecords | SyncComplete):
                    batch.append(event)
                    continue
                self._apply(batch)
                batch = []
                self._handle(event)
            self._apply(batch)

    def _handle(self, event: Event) -> None:
        """Handle an event of the connection."""
        if isinstance(event, Connected):
            self._has_connected = True
            self.store.start_over()
            self._has_asked_for_whole, self._ask_again_at = False, None
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
            self._has_asked_for_whole, self._ask_again_at = False, None
            self._synced.set()
        if applied.needs_whole_state:
            self._synced.clear()
            if not self._has_asked_for_whole:
                self._ask_for_whole()
        if applied.changes:
            for listener in self._listeners:
                try:
                    listener(applied.changes)
                except Exception:
                    _log.exception("a listener failed")
        self.on_applied(applied)

    def _ask_for_whole(self) -> None:
        self._has_asked_for_whole, self._ask_again_at = True, None
        self._since = None
        self._ask(None)

    def _ask(self, since: int | None) -> None:
        self._silent_at = None
        request = requests.sync(since)
        request.on_done = self._sync_done
        self.client.post(request)

    def _sync_done(self, request: Request[SyncComplete]) -> None:
        """Note a failed request. Called in another thread. A new connection syncs automatically."""
        error = request.error
        if isinstance(error, RequestFailed) and error.code in _NOT_ALLOWED:
            self._refusal = error
        elif error is not None:
            _log.warning("the sync failed: %s", error)
            self._ask_again_at = time.monotonic() + _ASK_AGAIN_SECONDS

    def _apply_patiently(self, batch: list[SyncRecords | SyncComplete]) -> Applied | None:
        """Apply a batch, trying again for a while if the database fails. Return None if the replica is stopped."""
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
