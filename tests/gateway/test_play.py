"""Play sessions: a page, the gateway and a scripted game, with everything that can go wrong between them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway import server
from gateway.play.backlog import FULL_BYTES
from gateway.play.sessions import NO_CAPS, Caps
from gateway.telnet import options as t
from shared import db, play_tokens
from shared.services import accounts, play, sessions
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from tests.gateway.conftest import World, says
from tests.support.asynchronous import run_async
from tests.support.moderating import mute
from tests.support.servers import get

WILL_ECHO, WONT_ECHO = bytes([t.IAC, t.WILL, t.ECHO]), bytes([t.IAC, t.WONT, t.ECHO])
GA = bytes([t.IAC, t.GA])


def in_world(scenario):
    """Run an async test against a running gateway."""

    def test(world: World, **fixtures):
        async def run() -> None:
            async with world.running():
                await scenario(world, **fixtures)

        run_async(run(), seconds=50)

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


@in_world
async def test_a_whole_session(world: World) -> None:
    user = world.stored.user()
    gmcp = bytes([t.IAC, t.WILL, t.GMCP, t.IAC, t.SB, t.GMCP]) + b'Char.Vitals {"hp":7}' + bytes([t.IAC, t.SE])
    async with world.game(says(b"\x1b[31mWelcome\x1b[0m\r\n" + WILL_ECHO + b"Password:" + GA + gmcp)) as game:
        async with world.playing(game, user, columns=100, rows=30) as page:
            await page.wait_for("gmcp")
            assert [(m["event"], m.get("text"), m.get("is_hidden"), m.get("data")) for m in page.messages[1:]] == [
                ("text", "\x1b[31mWelcome\x1b[0m\n", None, None),
                ("echo", None, True, None),
                ("text", "Password:", None, None),
                ("prompt", None, None, None),
                ("gmcp", None, None, {"hp": 7}),
            ]
            await page.send("line", text="secret")
            await game.wait_for(b"secret\r\n")
            game.writer.write(WONT_ECHO + b"Hello!\r\n")
            await page.wait_for_text("Hello!")
            game.writer.close()
            ended = await page.receive()
            assert (ended["event"], ended["code"]) == ("ended", "game-closed")
            with pytest.raises(ConnectionClosed):
                await page.receive()


@in_world
async def test_a_screen_reader_is_announced_before_anything_is_shown(world: World) -> None:
    ask = bytes([t.IAC, t.DO, t.TTYPE]) + bytes([t.IAC, t.SB, t.TTYPE, 1, t.IAC, t.SE]) * 3
    async with world.game(says(ask)) as game:
        async with world.playing(game, uses_screen_reader=True):
            await game.wait_for(b"MTTS ")
            await game.wait_for(bytes([t.IAC, t.SE]))
            number = int(game.received.split(b"MTTS ")[1].split(bytes([t.IAC]))[0])
            assert number & t.MTTS_SCREEN_READER and number & t.MTTS_PROXY


@in_world
async def test_a_lost_network_misses_no_line(world: World) -> None:
    async with world.game(says(b"one\r\n")) as game:
        async with world.playing(game) as page:
            await page.wait_for_text("one\n")
        game.writer.write(b"two\r\n")
        async with world.resuming(page.session, page.position) as again:
            await again.wait_for_text("two\n")
            game.writer.write(b"three\r\n")
            await again.wait_for_text("three\n")
            assert again.messages[0]["event"] == "resumed" and again.messages[0]["is_complete"]
            assert again.text == "two\nthree\n" and game.connections == 1
            await again.send("line", text="look")
            await game.wait_for(b"look\r\n")


@in_world
async def test_a_reload_shows_everything_again_and_the_old_page_loses_the_session(world: World) -> None:
    async with world.game(says(b"one\r\n" + WILL_ECHO)) as game:
        async with world.playing(game) as page:
            await page.wait_for("echo")
            async with world.resuming(page.session, 0) as again:
                await again.wait_for("echo")
                assert again.text == "one\n" and again.messages[0]["is_hidden"] is True
                with pytest.raises(ConnectionClosed) as closed:
                    await page.receive()
                assert closed.value.rcvd.code == 4001
                game.writer.write(b"two\r\n")
                await again.wait_for_text("two\n")


@in_world
async def test_a_page_that_does_not_come_back_ends_the_session(world: World) -> None:
    world.gateway.sessions._caps = replace(NO_CAPS, resume_seconds=0.2)
    async with world.game(says(b"one\r\n")) as game:
        async with world.playing(game) as page:
            await page.wait_for_text("one")
        await asyncio.wait_for(game.closed.wait(), 10)
        async with world.resuming(page.session, page.position) as again:
            assert (await again.receive())["event"] in ("refused", "resumed")
        while len(world.gateway.sessions):
            await asyncio.sleep(0.02)


@in_world
async def test_an_idle_session_ends(world: World) -> None:
    world.gateway.sessions._caps = replace(NO_CAPS, idle_seconds=0.2)
    async with world.game(says(b"one\r\n")) as game:
        async with world.playing(game) as page:
            ended = await page.wait_for_end()
            assert ended["code"] == "idle"


@in_world
async def test_a_flood_waits_for_the_page_and_loses_nothing(world: World) -> None:
    """A game that sends 8 MB at once is read only as fast as the page confirms."""
    line = b"x" * 79 + b"\n"

    async def flood(_reader, writer) -> None:
        for _ in range(1_000):
            writer.write(line * 100)
            await writer.drain()

    async with world.game(flood) as game:
        async with world.playing(game, confirms=False) as page:
            while len(page.text) < FULL_BYTES - 20_000:
                await page.receive()
            with pytest.raises(TimeoutError):
                while True:
                    await asyncio.wait_for(page.receive(), 0.3)
            assert len(page.text) < 2 * FULL_BYTES
        async with world.resuming(page.session, page.position) as again:
            total = len(page.text)
            while total + len(again.text) < 100_000 * 80:
                await again.receive()
            assert (page.text + again.text).count("x" * 79 + "\n") == 100_000


@in_world
async def test_only_valid_tokens_open_a_session_and_each_of_them_once(world: World) -> None:
    async with world.game(says(b"hi\r\n"), allows_guests=False) as game, world.game(says(b"")) as closed_game:
        user = world.stored.user()
        token = world.token(game, user)
        assert await world.refusal("forged") == "invalid-credentials"
        assert await world.refusal(world.token(game)) == "forbidden"  # a guest
        assert await world.refusal(token) == "opened"
        assert await world.refusal(token) == "invalid-credentials"
        other = play_tokens.make_token(world.settings.signing_keys, game_id=game.id, user_id=user.id, session_token="x")
        assert await world.refusal(other) == "invalid-credentials"
        unknown = play_tokens.make_token(world.settings.signing_keys, game_id=999)
        assert await world.refusal(unknown) == "not-found"
        with db.transaction() as session:
            actor = actors.of_user(session, world.owner.id)
            play.set_switches(
                session,
                actor,
                short_name=closed_game.short_name,
                is_allowed=False,
                allows_guests=True,
                sends_address=False,
            )
        assert await world.refusal(world.token(closed_game)) == "forbidden"
        assert closed_game.connections == 0


@in_world
async def test_games_that_cannot_be_reached(world: World) -> None:
    async with (
        world.game(says(b""), host="no-such-host.invalid") as unknown,
        world.game(says(b""), port=6379) as redis,
        world.game(says(b""), port=world.port) as own,
    ):
        assert await world.refusal(world.token(unknown)) == "unavailable"
        assert await world.refusal(world.token(redis)) == "forbidden"
        assert await world.refusal(world.token(own)) == "unavailable"
        assert len(world.gateway.sessions) == 0


def test_addresses_that_are_not_public_are_never_connected_to(make_settings, stored, world: World) -> None:
    world.settings = make_settings(CHECK_PRIVATE_ADDRESSES="off")

    async def run() -> None:
        async with world.running(), world.game(says(b"")) as game, world.game(says(b""), host="localhost") as named:
            for private in (game, named):
                assert await world.refusal(world.token(private)) == "unavailable"
                assert private.connections == 0

    run_async(run())


def test_a_certificate_must_be_valid_for_the_host(tmp_path, monkeypatch, world: World) -> None:
    from tests.support.endpoints import Authority

    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))

    async def run() -> None:
        async with (
            world.running(),
            world.game(says(b"safe\r\n"), tls=authority.context("localhost"), host="localhost") as good,
            world.game(says(b"oops\r\n"), tls=authority.context("other.example"), host="localhost") as bad,
        ):
            assert await world.refusal(world.token(bad)) == "unavailable"
            async with world.playing(good) as page:
                await page.wait_for_text("safe")
                assert page.messages[0]["is_tls"] is True

    run_async(run())


@in_world
async def test_caps_for_a_person_a_game_and_the_gateway(world: World) -> None:
    world.gateway.sessions._caps = Caps(per_person=1, per_game=2, total=3)
    first, second, third = (world.stored.user() for _ in range(3))
    async with world.game(says(b"a\r\n")) as game, world.game(says(b"b\r\n")) as other:
        async with world.playing(game, first), world.playing(game):
            assert await world.refusal(world.token(game, first)) == "rate-limited"
            assert await world.refusal(world.token(game, second)) == "rate-limited"
            assert await world.refusal(world.token(other)) == "rate-limited"  # another guest at this address
            async with world.playing(other, third):
                assert await world.refusal(world.token(other, second)) == "rate-limited"


@in_world
async def test_a_session_ends_when_it_may_no_longer_go_on(world: World) -> None:
    """After signing out, a new password, a ban, or the owner's no."""
    signed_out, changed, banned = (world.stored.user() for _ in range(3))

    async def run_until_refused(game, user, act, number: str = "") -> None:
        async with world.page() as page:
            await page.send("open", token=world.token(game, user, number))
            await page.wait_for("opened")
            with db.transaction() as session:
                act(session)
            assert (await page.wait_for_end())["code"] == "refused"

    async with world.game(says(b"a\r\n")) as game:
        await run_until_refused(
            game, signed_out, lambda session: sessions.end(session, "number", user_id=signed_out.id), "number"
        )
        await run_until_refused(
            game,
            changed,
            lambda session: accounts.set_password(
                session, OPERATOR, username=changed.username, new="a different passphrase"
            ),
        )
        await run_until_refused(
            game, banned, lambda session: mute(session, OPERATOR, banned.username, kind="ban", target_kind="user")
        )
        assert await world.refusal(world.token(game, banned)) == "forbidden"
        await run_until_refused(
            game,
            None,
            lambda session: play.set_switches(
                session,
                OPERATOR,
                short_name=game.short_name,
                is_allowed=True,
                allows_guests=False,
                sends_address=False,
            ),
        )


@in_world
async def test_encodings_of_the_owner_and_of_the_player(world: World) -> None:
    async with world.game(says("你好\r\n".encode("gbk")), encoding="gbk") as game:
        async with world.playing(game) as page:
            await page.wait_for_text("你好\n")
            await page.send("line", text="你")
            await game.wait_for("你".encode("gbk"))
        async with world.playing(game, encoding="big5") as page:
            await page.wait_for("text")
            assert page.text != "你好\n"
            await page.send("encoding", encoding="gbk")
            await page.send("encoding", encoding="rot13")
            await page.send("line", text="好")
            await game.wait_for("好".encode("gbk"))


@in_world
async def test_the_player_s_address_is_sent_only_if_the_owner_wants_it(world: World) -> None:
    ask = bytes([t.IAC, t.DO, t.NEW_ENVIRON, t.IAC, t.SB, t.NEW_ENVIRON, 1, t.IAC, t.SE])
    async with world.game(says(ask)) as quiet, world.game(says(ask), sends_address=True) as told:
        async with world.playing(quiet), world.playing(told):
            await quiet.wait_for(b"CLIENT_NAME")
            await told.wait_for(b"IPADDRESS\x01127.0.0.1")
            assert b"IPADDRESS" not in quiet.received


@in_world
async def test_damaged_compression_ends_the_session(world: World) -> None:
    start = bytes([t.IAC, t.WILL, t.MCCP2, t.IAC, t.SB, t.MCCP2, t.IAC, t.SE])
    async with world.game(says(start + b"this is not deflated")) as game:
        async with world.playing(game) as page:
            assert (await page.wait_for_end())["code"] == "unreadable"


@pytest.mark.parametrize(
    "message", ["", "{", "[]", '{"event":"nope"}', '{"event":"line"}', '{"event":"line","text":5}', "\ud800"]
)
def test_bad_messages_close_the_socket_and_not_the_session(world: World, message: str) -> None:
    async def run() -> None:
        async with world.running(), world.game(says(b"a\r\n")) as game:
            async with world.page() as page:
                await page.socket.send(message.encode(errors="surrogatepass"))
                assert (await page.receive())["code"] == "invalid"
            async with world.playing(game) as page:
                await page.wait_for_text("a\n")
                await page.socket.send(message.encode(errors="surrogatepass"))
                with pytest.raises(ConnectionClosed) as closed:
                    await page.receive()
                assert closed.value.rcvd.code == 1008
            async with world.resuming(page.session, page.position) as again:
                await again.send("line", text="still here")
                await game.wait_for(b"still here")

    run_async(run())


@in_world
async def test_a_session_that_is_over_cannot_be_resumed(world: World) -> None:
    async with world.resuming("unknown", 0) as page:
        assert (await page.receive())["code"] == "gone"


@in_world
async def test_disconnecting_closes_the_game_s_connection_at_once(world: World) -> None:
    async with world.game(says(b"a\r\n")) as game:
        async with world.playing(game) as page:
            await page.send("close")
            assert (await page.wait_for_end())["code"] == "closed"
            await asyncio.wait_for(game.closed.wait(), 10)


@in_world
async def test_other_sites_and_other_paths_are_refused(world: World) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with world.page(Origin="https://elsewhere.example"):
            pass
    assert refused.value.response.status_code == 403
    async with world.page(Origin="http://127.0.0.1:4100"):
        pass
    for path, status in (("/", 404), ("/_health", 200), ("/metrics", 200)):
        assert (await asyncio.to_thread(get, world.port, path))[0] == status
    text = (await asyncio.to_thread(get, world.port, "/metrics"))[1]
    assert "gateway_sessions 0.0" in text


@in_world
async def test_a_stop_tells_the_pages(world: World) -> None:
    async with world.game(says(b"a\r\n")) as game:
        async with world.playing(game) as page:
            await page.wait_for_text("a\n")
            stopping = asyncio.create_task(world.gateway.stop())
            assert (await page.wait_for_end())["code"] == "restart"
            await stopping
            world.gateway = server.Gateway(world.settings)
            await world.gateway.start()
