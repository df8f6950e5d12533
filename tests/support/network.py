"""A network of one or more workers for a whole test module: its games, and sockets spread over the workers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.client import Frame, SocketClient
from tests.support.factory import Factory
from tests.support.servers import RunningWorker
from tests.support.valkey import TestValkey
from tests.support.waiting import wait_until

ALL_FLAGS = ["channels", "players", "tells", "games"]
PROBE_SECONDS = 20.0
"""The age at which probes are replaced: nobody reads them meanwhile, so they answer no heartbeats and get closed."""
_numbers = itertools.count(1)


class Peer:
    """A game or application with its credentials."""

    def __init__(self, short_name: str, client_id: str, client_secret: str, key: str) -> None:
        self.short_name = short_name
        self.client_id = client_id
        self.client_secret = client_secret
        self.key = key


class Network:
    """Opens sockets to the workers in turn, unless a test chooses one (`worker=1`)."""

    def __init__(
        self,
        workers: list[RunningWorker],
        factory: Factory,
        environment: dict[str, str],
        valkey: TestValkey | None = None,
    ) -> None:
        self.workers = workers
        self.factory = factory
        self.environment = environment
        self._valkey = valkey
        self._owner = factory.user()
        self._opened: list[SocketClient] = []
        self._probes: list[SocketClient] = []
        self._probed_at = 0.0
        self._turns = itertools.count()

    @property
    def has_redis(self) -> bool:
        return self._valkey is not None

    @property
    def valkey(self) -> TestValkey:
        assert self._valkey is not None, "this network has no Redis"
        return self._valkey

    @property
    def is_one(self) -> bool:
        return len(self.workers) == 1

    def game(self, prefix: str = "G", **fields: Any) -> Peer:
        """Create a game with a unique name."""
        short_name = f"{prefix}{next(_numbers)}"
        game, credentials = self.factory.game_with_credentials(
            short_name, owner=self._owner, name=f"The {short_name}", **fields
        )
        return Peer(short_name, credentials.client_id, credentials.client_secret, f"game:{game.id}")

    def application(self) -> Peer:
        """Create an application."""
        short_name = f"A{next(_numbers)}"
        application, credentials = self.factory.application_with_credentials(short_name)
        return Peer(short_name, credentials.client_id, credentials.client_secret, f"application:{application.id}")

    def open(self, *, worker: int | None = None, **options: Any) -> SocketClient:
        """Open a socket that has not authenticated."""
        number = next(self._turns) if worker is None else worker
        client = SocketClient(self.workers[number % len(self.workers)].url, **options)
        self._opened.append(client)
        return client

    def join(
        self,
        peer: Peer | None = None,
        *,
        worker: int | None = None,
        supports: list[str] | None = None,
        answers_heartbeats: bool = True,
        **payload: Any,
    ) -> SocketClient:
        """Return an authenticated socket of a peer, by default a new game with all flags. Every worker knows it."""
        peer = peer or self.game()
        client = self.open(worker=worker, answers_heartbeats=answers_heartbeats)
        client.peer = peer  # type: ignore[attr-defined]
        with self._until_every_worker_knows(peer, payload.get("players") or []):
            client.authenticate(
                peer.client_id, peer.client_secret, supports=ALL_FLAGS if supports is None else supports, **payload
            )
        return client

    @contextmanager
    def _until_every_worker_knows(self, peer: Peer, players: list[str]) -> Iterator[None]:
        """Wait at the end of the block until every worker knows of a socket and players that came in it."""
        before = self._socket_ids(peer)  # ids, since an older socket may be closing meanwhile
        yield
        wait_until(lambda: self._socket_ids(peer) - before, what="the socket is in Redis")
        self.wait_game(peer, lambda status: "supports" in status)
        for player in players:
            self.wait_player(peer, player)

    def online_sockets(self, peer: Peer) -> int:
        """Return how many sockets of a peer are in Redis."""
        return len(self._socket_ids(peer))

    def _socket_ids(self, peer: Peer) -> set[str]:
        import redis

        from shared.presence import list_sockets

        with redis.Redis.from_url(self.valkey.url) as client:
            return {socket.id for socket in list_sockets(client) if socket.peer == peer.key}

    def wait_game(self, peer: Peer, accepts: Callable[[Frame], Any]) -> None:
        """Wait until every worker answers `games/status` of a game with an accepted payload."""
        self._wait("games/status", peer, accepts)

    def wait_player(self, peer: Peer, name: str, *, online: bool = True) -> None:
        """Wait until every worker says that a player is online, or that it is not."""
        self._wait(
            "players/status",
            peer,
            lambda payload: (name.lower() in [player.lower() for player in payload["players"]]) is online,
        )

    def wait_offline(self, peer: Peer) -> None:
        """Wait until every worker says that a game is offline."""
        self.wait_game(peer, lambda payload: "supports" not in payload)

    def flush(self, *clients: SocketClient) -> None:
        """Wait until these sockets have read everything that workers have sent to each other before now."""
        game = self.game("Flush", is_displayed=False)
        for number in range(len(self.workers)):
            sender = self.open(worker=number)
            sender.authenticate(game.client_id, game.client_secret, channels=["flush"])
            for client in clients:
                client.request("channels/subscribe", {"channel": "flush"})
            text = f"flush {next(_numbers)}"
            answer = sender.request("channels/send", {"channel": "flush", "name": "x", "message": text})
            assert answer["status"] == "success"
            for client in clients:
                client.wait_for("channels/broadcast", payload={"message": text})
            sender.close(1001)

    def close_sockets(self) -> None:
        """Close the sockets of a test."""
        for client in self._opened:
            client.drop()
        self._opened.clear()

    def close(self) -> None:
        self.close_sockets()
        self._drop_probes()
        for worker in self.workers:
            worker.kill()

    def _wait(self, event: str, peer: Peer, accepts: Callable[[Frame], Any]) -> None:
        if time.monotonic() - self._probed_at > PROBE_SECONDS:
            self._drop_probes()
        if not self._probes:
            probe = self.game("Probe", is_displayed=False)
            for worker in self.workers:
                client = SocketClient(worker.url)
                client.authenticate(probe.client_id, probe.client_secret, supports=["channels", "players", "games"])
                self._probes.append(client)
        for client in self._probes:
            wait_until(
                lambda client=client: accepts(client.request(event, {"game": peer.short_name})["payload"]),  # type: ignore[misc]
                what=f"{event} of {peer.short_name}",
            )
        self._probed_at = time.monotonic()

    def _drop_probes(self) -> None:
        for probe in self._probes:
            probe.drop()
        self._probes.clear()
