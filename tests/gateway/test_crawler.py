"""Games are asked how they are: one scripted server for each way to answer, and for each way to deviate."""

from __future__ import annotations

import asyncio

import pytest

from gateway import crawler
from gateway.crawler import Crawler, parse_info, parse_text, parse_who
from gateway.game_connections import GameConnections
from gateway.telnet import options as t
from shared import db
from shared.services import game_facts, games
from shared.services.game_facts import Answer, FactsTask, Source
from tests.gateway.conftest import World, says
from tests.support.asynchronous import run_async

WILL_MSSP = bytes([t.IAC, t.WILL, t.MSSP])
DO_MSSP = bytes([t.IAC, t.DO, t.MSSP])


def mssp(content: bytes) -> bytes:
    return bytes([t.IAC, t.SB, t.MSSP]) + content + bytes([t.IAC, t.SE])


async def until(reader: asyncio.StreamReader, content: bytes) -> None:
    """Read until the crawler has sent this."""
    received = b""
    while content not in received:
        data = await reader.read(1000)
        assert data, received
        received += data


def answers(greeting: bytes, *exchanges: tuple[bytes, bytes]):
    """Return a game that sends a greeting, and then an answer after each thing that it waits for."""

    async def script(reader, writer) -> None:
        writer.write(greeting)
        for expected, answer in exchanges:
            await until(reader, expected)
            writer.write(answer)
        await writer.drain()

    return script


async def endless(_reader, writer) -> None:
    while True:
        writer.write(b"x" * 1000)
        await writer.drain()


@pytest.fixture
def ask(monkeypatch):
    """Run a game, and return what the crawler makes of it, with everything that the game received."""
    monkeypatch.setattr(crawler, "QUIET_SECONDS", 0.3)

    def run(script) -> tuple[Answer | None, bytes]:
        async def scenario():
            received = b""

            async def serve(reader, writer) -> None:
                nonlocal received
                feed = reader.feed_data

                def keep(data: bytes) -> None:
                    nonlocal received
                    received += data
                    feed(data)

                reader.feed_data = keep
                try:
                    await script(reader, writer)
                    while await reader.read(1000):
                        pass
                except (ConnectionError, AssertionError):
                    pass
                finally:
                    writer.close()

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            connections = GameConnections(allows_private=True, own_ports=())
            answer = await Crawler(connections).ask(FactsTask("id", "127.0.0.1", port, False))
            connections.close()
            server.close()
            return answer, received

        return run_async(scenario(), seconds=30)

    return run


def test_mssp_by_its_option(ask) -> None:
    answer, received = ask(answers(WILL_MSSP, (DO_MSSP, mssp(b"\x01PLAYERS\x025\x01PLAYERS\x027\x01X_Y\x02a\x02b"))))
    assert answer == Answer(Source.MSSP, {"PLAYERS": ["5", "7"], "X Y": ["a", "b"]})
    assert b"MSSP-REQUEST" not in received


def test_mssp_that_is_offered_only_after_the_terminal_type(ask) -> None:
    ask_type = bytes([t.IAC, t.DO, t.TTYPE]) + bytes([t.IAC, t.SB, t.TTYPE, 1, t.IAC, t.SE])
    answer, _ = ask(
        answers(ask_type, (b"GOSSIP-CRAWLER", WILL_MSSP), (DO_MSSP, mssp(b"\x01NAME\x02Tr\xe9e\x01PLAYERS\x023")))
    )
    assert answer == Answer(Source.MSSP, {"NAME": ["Trée"], "PLAYERS": ["3"]})


def test_mssp_behind_press_return(ask) -> None:
    answer, _ = ask(
        answers(b"Please press RETURN to go on: ", (b"\r\n", WILL_MSSP), (DO_MSSP, mssp(b"\x01PLAYERS\x021")))
    )
    assert answer == Answer(Source.MSSP, {"PLAYERS": ["1"]})


def test_mssp_as_text(ask) -> None:
    reply = b"\r\nMSSP-REPLY-START\r\nName\tHarbour\r\nPLAYERS\t12\r\nCRAWL_DELAY\t-1\r\nMSSP-REPLY-END\r\nBye\r\n"
    answer, _ = ask(answers(b"By what name? ", (b"MSSP-REQUEST\r\n", reply)))
    assert answer == Answer(Source.MSSP_TEXT, {"NAME": ["Harbour"], "PLAYERS": ["12"], "CRAWL DELAY": ["-1"]})


@pytest.mark.parametrize("marks", [("## BEGIN INFO 1.1", "## END INFO"), ("### Begin INFO 1.1", "### End INFO")])
def test_info_of_a_mush(ask, marks) -> None:
    begin, end = marks
    info = (
        f"\r\n{begin}\r\nName: Realm\r\nUptime: Mon\r\nConnected: 4\r\nSize: 99\r\nVersion: x 1\r\n{end}\r\n".encode()
    )
    answer, _ = ask(answers(b"login> ", (b"MSSP-REQUEST", b"Huh?\r\n"), (b"INFO\r\n", info)))
    expected = {"NAME": ["Realm"], "PLAYERS": ["4"], "DBSIZE": ["99"], "CODEBASE": ["x 1"]}
    assert answer == Answer(Source.INFO, expected)


@pytest.mark.parametrize(
    ("text", "players"),
    [
        ("Wren\r\nAsh\r\nThere are 2 players connected.\r\n", "2"),
        ("1 player is currently connected, max 9", "1"),
        ("There are no players connected.", "0"),
        ("17 people are online.", "17"),
    ],
)
def test_who_on_the_login_screen(ask, text, players) -> None:
    script = answers(b"login> ", (b"MSSP-REQUEST", b"?\r\n"), (b"INFO", b"?\r\n"), (b"WHO\r\n", text.encode()))
    assert ask(script)[0] == Answer(Source.WHO, {"PLAYERS": [players]})


@pytest.mark.parametrize(
    "script",
    [says(b""), says(b"Welcome!\r\n", b"\xff\xfa" + b"x" * 100_000), endless, says(bytes(range(256)) * 50)],
    ids=["silent", "huge", "endless", "garbage"],
)
def test_games_that_say_nothing_useful(ask, script) -> None:
    assert ask(script)[0] is None


def test_a_game_that_is_reset_or_not_there(ask) -> None:
    async def reset(_reader, writer) -> None:
        writer.transport.abort()

    assert ask(reset)[0] is None

    async def refused() -> Answer | None:
        return await Crawler(GameConnections(allows_private=True, own_ports=())).ask(
            FactsTask("i", "127.0.0.1", 4, False)
        )

    assert run_async(refused()) is None


def test_texts_that_are_none_of_these() -> None:
    assert parse_text("PLAYERS\t5\n") == {} and parse_info("Name: x") == {}
    assert parse_who("Seek the 3 players guild. 12 players have died here.") == {}
    assert parse_text("MSSP-REPLY-START\nNAME\tx\n") == {"NAME": ["x"]}  # cut off


def test_the_gateway_asks_what_is_due_and_stores_the_answer(world: World, monkeypatch) -> None:
    monkeypatch.setattr(crawler, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(crawler, "QUIET_SECONDS", 0.3)

    async def run() -> None:
        answering = answers(WILL_MSSP, (DO_MSSP, mssp(b"\x01PLAYERS\x027")))
        async with world.game(answering, is_asked=True) as game, world.running():

            def find():
                with db.reading() as session:
                    record = games.get_game(session, game.short_name)
                    return game_facts.find_count(session, record, now=db.utc_now())

            while (count := await asyncio.to_thread(find)) is None:
                await asyncio.sleep(0.05)
            assert (count.players, count.source) == (7, "MSSP") and game.connections == 1

    run_async(run(), seconds=20)
