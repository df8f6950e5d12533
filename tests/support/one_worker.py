"""Use a network that several tests share. Other tests may have bound another database in between."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.network import Network


def network_of_this_test(network: Network) -> Iterator[Network]:
    """Bind the network's database and bus for one test, and close its sockets afterwards. Use it with `yield from`."""
    from shared import bus, db

    engine = db.make_engine(network.environment["DATABASE_URL"])
    db.bind(engine)
    bus.publish_after_commit(bus.Bus(network.valkey.url) if network.has_redis else None)
    yield network
    network.close_sockets()
    bus.publish_after_commit(None)
    engine.dispose()
    for worker in network.workers:
        assert "Traceback" not in worker.output, worker.output
