"""The ids of requests and sockets: who chooses them, and where they appear."""

from __future__ import annotations

import http.client
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import structlog
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from shared.logs import configure_logs
from shared.request_ids import RequestWork, current_ids, read_id, working_for
from tests.support.client import SocketClient
from tests.support.factory import Factory
from tests.support.servers import RunningSite, RunningWorker
from tests.support.waiting import wait_until


@pytest.mark.parametrize("text", ["6f1c2d", "a" * 64, "a-b_c.d:e", "7F000001:C3F4_00"])
def test_ids_of_proxies_are_accepted(text: str) -> None:
    assert read_id(text) == text


@pytest.mark.parametrize("text", [None, "", " ", "a" * 65, "a b", "*/ DROP TABLE users", "a\x1b[31m", "ä", "a\n", "%s"])
def test_other_texts_are_no_ids(text: str | None) -> None:
    """So an id cannot end a statement's comment, fill a log or act on a terminal."""
    assert read_id(text) == ""


def test_work_ends_with_its_block() -> None:
    with working_for(RequestWork("a")):
        with working_for(RequestWork("b")):
            assert current_ids() == {"request": "b"}
        assert current_ids() == {"request": "a"}


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """A network behind a proxy on this machine."""
    return {**environment, "PUBLIC_URL": "https://gossip.example.com", "SOCKET_URL": "wss://gossip.example.com/socket"}


def test_the_site_keeps_the_id_of_a_trusted_proxy_only(client: FlaskClient) -> None:
    def answered(peer: str, request_id: str) -> str:
        environ = {"REMOTE_ADDR": peer}
        response = client.get("/conduct", headers={"X-Request-ID": request_id}, environ_overrides=environ)
        assert len(response.headers.getlist("X-Request-ID")) == 1
        return response.headers["X-Request-ID"]

    assert answered("127.0.0.1", "from-the-proxy") == "from-the-proxy"
    for peer, request_id in (("203.0.113.7", "from-a-client"), ("127.0.0.1", "b" * 65), ("127.0.0.1", "")):
        first, second = answered(peer, request_id), answered(peer, request_id)
        assert re.fullmatch("[0-9a-f]{32}", first) and first != second


@pytest.fixture
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_log_lines_and_the_error_page_have_the_id(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], _restore_logging: None
) -> None:
    from shared.services import games

    def fail(*_arguments: object, **_options: object) -> None:
        raise OperationalError("SELECT", {}, Exception("away"))

    monkeypatch.setattr(games, "get_public_game", fail)
    configure_logs("json")
    monkeypatch.setattr("app.occasional_log.log", structlog.get_logger("test"))  # the site's may write elsewhere
    response = client.get("/games/Anything", headers={"X-Request-ID": "request-17"})

    assert response.status_code == 503
    assert "request-17" in response.text
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines() if "database or redis failed" in line]
    assert line["request"] == "request-17"


@pytest.fixture
def holder(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to the database on which a test locks tables."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


watcher = holder  # another one, since a transaction keeps its view of pg_stat_activity


@pytest.mark.postgres
@pytest.mark.parametrize("any_database", ["postgres"], indirect=True)
def test_ids_reach_postgresql(
    any_database: str,
    start_site: Callable[..., RunningSite],
    start_worker: Callable[..., RunningWorker],
    stored: Factory,
    connect: Callable[..., SocketClient],
    holder: psycopg.Connection,
    watcher: psycopg.Connection,
) -> None:
    """An operator sees for which request or socket a statement waits. The worker's log has both ids of a socket."""
    site, worker = start_site(DATABASE_COMMENTS="on"), start_worker(DATABASE_COMMENTS="on")
    stored.channel("gossip")
    _, credentials = stored.game_with_credentials()

    def waiting_statement(table: str, action: Callable[[], Any]) -> str:
        thread = threading.Thread(target=action)
        with holder.transaction():
            holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            thread.start()
            query = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ((statement,),) = wait_until(lambda: watcher.execute(query).fetchall(), what="a statement that waits")
        thread.join(20)
        return str(statement)

    def open_games() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
        connection.request("GET", "/games", headers={"X-Request-ID": "edge-1"})
        assert connection.getresponse().status == 200
        connection.close()

    assert waiting_statement("games", open_games).endswith("/* request=edge-1 */")

    client = connect(worker.url, header={"X-Request-ID": "edge-2"})
    statement = waiting_statement(
        "games", lambda: client.authenticate(credentials.client_id, credentials.client_secret, channels=["gossip"])
    )
    online = worker.wait_for_event("online")
    assert online["request"] == "edge-2"
    assert statement.endswith(f"/* connections={online['connection']} */")

    statement = waiting_statement(
        "channels", lambda: client.request("channels/subscribe", {"channel": "new"}, seconds=20)
    )
    assert statement.endswith(f"/* connection={online['connection']} request=edge-2 */")

    line = {"channel": "gossip", "name": "Ann", "message": "Hello"}
    statement = waiting_statement("messages", lambda: client.request("channels/send", line, seconds=20))
    assert statement.endswith(f"/* connections={online['connection']} */")
