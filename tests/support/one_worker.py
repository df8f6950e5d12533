"""A network that outlives a test: its database bound for each test, whatever others have bound since."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.network import Network


def network_of_this_test(network: Network) -> Iterator[Network]:
    """For a fixture `network` of a module's own: `yield from` this."""
    from shared import bus, db

    environment: dict[str, str] = network.environment  # type: ignore[attr-defined]
    engine = db.make_engine(environment["DATABASE_URL"])
    db.bind(engine)
    bus.publish_after_commit(bus.Bus(environment["REDIS_URL"]))
    yield network
    network.close_sockets()
    bus.publish_after_commit(None)
    engine.dispose()
    for worker in network.workers:
        assert "Traceback" not in worker.output, worker.output
