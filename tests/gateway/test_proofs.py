"""Proofs that an address is its owner's: by the socket, DNS, MSSP or the login screen."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import dns.asyncresolver
import dns.message
import dns.query
import dns.rrset
import pytest

from gateway import proofs, server
from gateway.telnet import options as t
from shared import db
from shared.db import utc_now
from shared.services import play
from shared.services.authority import actors
from tests.gateway.conftest import World, says
from tests.support.asynchronous import run_async
from tests.support.waiting import wait_until


class NameServer:
    """Answers questions for TXT records over UDP, from `records`."""

    def __init__(self) -> None:
        self.records: dict[str, str] = {}
        self._socket = dns.query.make_socket(dns.query.socket.AF_INET, dns.query.socket.SOCK_DGRAM, ("127.0.0.1", 0))
        self._socket.setblocking(True)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                wire, sender = self._socket.recvfrom(2048)
            except OSError:
                return
            question = dns.message.from_wire(wire)
            answer = dns.message.make_response(question)
            name = question.question[0].name
            text = self.records.get(name.to_text(omit_final_dot=True))
            if text is None:
                answer.set_rcode(3)
            else:
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", f'"{text}"'))
            self._socket.sendto(answer.to_wire(), sender)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    running = NameServer()
    yield running
    running.close()


@pytest.fixture
def check(world: World, monkeypatch, name_server):
    """Ask for a proof of an address of a game that runs a script. Returns (proof, failure)."""
    monkeypatch.setattr(proofs, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(proofs, "LISTEN_SECONDS", 1.0)
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], name_server.port
    monkeypatch.setattr(server, "make_resolver", lambda: resolver)

    def run(make_script, **options):
        async def scenario():
            async with world.running():
                token = ""

                async def script(reader, writer):
                    await make_script(token)(reader, writer)

                async with world.game(script, **options) as game:
                    with db.transaction() as session:
                        actor = actors.of_user(session, world.owner.id)
                        token = play.get_own_play(session, actor, short_name=game.short_name)[1].proof_token
                        row = session.get_one(play.PlayWay, game.way_id)
                        row.proof = row.proved_endpoint = row.checked_at = None
                    world.before_check(game, token)
                    with db.transaction() as session:
                        play.ask_for_proof(session, actor, connection_id=game.way_id, now=utc_now())

                    def outcome():
                        with db.reading() as session:
                            row = session.get_one(play.PlayWay, game.way_id)
                            return row.checked_at and (row.proof, row.failure)

                    while not (result := await asyncio.to_thread(outcome)):
                        await asyncio.sleep(0.05)
                    return result

        return run_async(scenario(), seconds=30)

    world.before_check = lambda game, token: None
    return run


def test_the_login_screen(check) -> None:
    assert check(lambda token: says(b"Welcome!\r\n", token[:5].encode(), token[5:].encode())) == ("login-screen", None)


@pytest.mark.parametrize("variable", [b"GOSSIP", b"CONTACT"])
def test_mssp(check, variable) -> None:
    def script(token):
        content = b"\x01NAME\x02Trade\x01" + variable + b"\x02me@example.com " + token.encode()
        return says(bytes([t.IAC, t.WILL, t.MSSP, t.IAC, t.SB, t.MSSP]) + content + bytes([t.IAC, t.SE]))

    assert check(script) == ("mssp", None)


@pytest.mark.parametrize("name", ["localhost", "_gossip.localhost"])
def test_dns(check, world, name_server, name) -> None:
    world.before_check = lambda game, token: name_server.records.update({name: f"v=1 {token}"})
    assert check(lambda token: says(b""), host="localhost") == ("dns", None)


def test_a_socket_from_the_same_host(check, world, connect, start_worker, stored) -> None:
    worker = start_worker()

    def connect_game(game, token) -> None:
        with db.transaction() as session:
            credentials = play.games.regenerate_credentials(session, actors.OPERATOR, short_name=game.short_name)
        connect(worker.url).authenticate(credentials.client_id, credentials.client_secret)
        import redis

        from shared.presence import list_sockets

        with redis.Redis.from_url(world.settings.redis_url) as client:
            wait_until(lambda: list_sockets(client), what="the socket is in Redis")

    world.before_check = connect_game
    assert check(lambda token: says(b"")) == ("socket", None)


def test_no_proof(check) -> None:
    assert check(lambda token: says(b"Welcome, " + token[:-1].encode())) == (None, "no-token")
    assert check(lambda token: says(b""), host="no-such-host.invalid") == (None, "unknown-name")
    assert check(lambda token: says(b""), port=22) == (None, "port")
    assert check(lambda token: says(b""), port=1) == (None, "port")


def test_a_game_that_floods_without_the_token(check) -> None:
    assert check(lambda token: says(b"x" * 200_000)) == (None, "no-token")
