"""The gateway as a process: its settings, health, and a page whose client shares no code with it."""

from __future__ import annotations

import json
import socket
import threading

import pytest
import websocket

from shared import db, play_tokens
from shared.db import utc_now
from shared.services import play
from shared.services.authority.actors import OPERATOR
from tests.support.endpoints import Endpoint
from tests.support.servers import get


@pytest.fixture
def game(stored):
    """A game that greets and answers each line with its length."""
    is_over = threading.Event()

    def answer(connection: socket.socket) -> bytes:
        connection.sendall("Grüße!\r\n".encode())
        said = b""
        while data := connection.recv(1000):
            said += data
            connection.sendall(b"%d bytes\r\n" % len(data))
        is_over.set()
        return said

    endpoint = Endpoint(answer)
    record = stored.game()
    way = stored.connection(record, host="127.0.0.1", port=endpoint.port)
    with db.transaction() as session:
        play.set_switches(
            session, OPERATOR, short_name=record.short_name, is_allowed=True, allows_guests=True, sends_address=False
        )
        play.ask_for_proof(session, OPERATOR, connection_id=way.id, now=utc_now())
        (task,) = play.take_proofs(session, now=utc_now(), at_most=1)
        play.finish_proof(session, task, proof=play.Proof.DNS, failure=None, now=utc_now())
    yield record.id, is_over
    endpoint.close()


def test_a_session_and_a_clean_stop(start_gateway, settings, game) -> None:
    gateway = start_gateway()
    game_id, is_over = game
    status, body = get(gateway.port, "/_health")
    assert status == 200 and json.loads(body)["database"] == "ok"
    page = websocket.create_connection(f"ws://127.0.0.1:{gateway.port}/play-socket", timeout=10, suppress_origin=True)
    token = play_tokens.make_token(settings.signing_keys, game_id=game_id)
    page.send(json.dumps({"event": "open", "token": token}))
    assert json.loads(page.recv())["event"] == "opened"
    assert json.loads(page.recv())["text"] == "Grüße!\n"
    page.send(json.dumps({"event": "line", "text": "look"}))
    assert json.loads(page.recv())["text"] == "6 bytes\n"
    gateway.send_signal(15)
    assert json.loads(page.recv())["code"] == "restart"
    assert is_over.wait(10)
    assert gateway.wait() == 0
    assert "Traceback" not in gateway.output


def test_settings_that_cannot_work_give_one_line(start_gateway) -> None:
    with pytest.raises(AssertionError, match="error: GATEWAY_PORT is 'many'"):
        start_gateway(GATEWAY_PORT="many")
