"""Rate limits (docs/protocol.md, §9): the buckets with a fake clock, and the protocol over real sockets."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import TooMany
from shared.limits import (
    DEFAULTS,
    EVENTS,
    GAMES_STATUS,
    MESSAGES_OF_GAME,
    MESSAGES_OF_PLAYER,
    NEW_CHANNELS,
    SUBSCRIPTIONS,
    TELLS_OF_PLAYER,
    Limit,
    parse_limits,
)
from shared.settings import SettingsError
from tests.support.client import SocketClient
from tests.support.in_process import Clock
from tests.support.network import Network
from tests.support.waiting import wait_until
from worker.sockets.buckets import Bucket, SocketLimits
from worker.sockets.limits import MAX_PLAYERS, RateLimits

NETWORK_SETTINGS = {"RATE_LIMITS": "on"}


@pytest.fixture
def limits(clock: Clock) -> RateLimits:
    return RateLimits(DEFAULTS, is_on=True, clock=clock)


def socket_of(peer: str = "game:1") -> Any:
    return SimpleNamespace(
        peer_key=peer, is_application=peer.startswith("application:"), limits=SocketLimits(), goodbye=None
    )


def admitted(action: Callable[[], Any], tries: int) -> int:
    """Return how often an action is admitted."""
    count = 0
    for _ in range(tries):
        try:
            count += action() is not False
        except TooMany:
            pass
    return count


# The buckets


@pytest.mark.parametrize(("name", "limit"), DEFAULTS.items())
def test_a_bucket_allows_a_burst_and_then_refills_to_the_millisecond(name: str, limit: Limit) -> None:
    bucket, now = Bucket(limit), 5000.0
    for _ in range(limit.burst):
        assert bucket.wait(now) == 0
        bucket.debit(now)
    assert bucket.wait(now) == pytest.approx(1 / limit.per_second)
    assert bucket.tokens(now) == pytest.approx(0)
    every = 1 / limit.per_second
    assert bucket.wait(now + every - 0.001) == pytest.approx(0.001)
    assert bucket.wait(now + every) == 0
    assert bucket.tokens(now + 1e6) == pytest.approx(limit.burst)


def test_the_level_of_a_bucket_never_goes_below_zero() -> None:
    bucket = Bucket(Limit(2, 1))
    for _ in range(10):
        bucket.debit(0.0)
    assert bucket.wait(1.0) == 0


def test_the_limits_are_those_of_the_protocol() -> None:
    assert {name: (limit.burst, limit.per_second) for name, limit in DEFAULTS.items()} == {
        "events:socket": (400, 20),
        "games/status:socket": (10, 0.2),
        "players/status:socket": (10, 0.2),
        "players/sign-in:game": (400, 20),
        "channels/send:player": (10, 2),
        "channels/send:game": (100, 20),
        "channels/subscribe:socket": (60, 2),
        "channels/create:game": (100, 0.1),
        "tells/send:player": (10, 2),
        "tells/send:game": (100, 20),
        "reports/create:socket": (10, 0.1),
    }


@pytest.mark.parametrize(
    ("name", "spend", "burst"),
    [
        (EVENTS, lambda limits, socket: limits.admit_event(socket), 400),
        (GAMES_STATUS, lambda limits, socket: limits.spend_of_socket(socket, GAMES_STATUS), 10),
        (SUBSCRIPTIONS, lambda limits, socket: limits.spend_of_socket(socket, SUBSCRIPTIONS), 60),
        (MESSAGES_OF_PLAYER, lambda limits, socket: limits.spend_message(socket, "Alice"), 10),
        (NEW_CHANNELS, lambda limits, socket: limits.spend_new_channel(socket.peer_key), 100),
        (TELLS_OF_PLAYER, lambda limits, socket: limits.spend_tell(socket, "Alice"), 10),
    ],
)
@pytest.mark.parametrize(("peer", "factor"), [("game:1", 1), ("application:1", 10)])
def test_applications_have_ten_times_the_limits(
    limits: RateLimits, clock: Clock, name: str, spend: Any, burst: int, peer: str, factor: int
) -> None:
    socket = socket_of(peer)
    assert admitted(lambda: spend(limits, socket), 10_000) == burst * factor
    clock.now += 10
    refilled = min(burst, DEFAULTS[name].per_second * 10) * factor
    assert admitted(lambda: spend(limits, socket), 5000) == refilled


def test_nothing_is_limited_without_limits(clock: Clock) -> None:
    limits = RateLimits(DEFAULTS, is_on=False, clock=clock)
    socket = socket_of()
    assert admitted(lambda: limits.admit_event(socket), 1000) == 1000
    assert admitted(lambda: limits.spend_message(socket, "Alice"), 1000) == 1000


def test_a_flooding_player_does_not_limit_forty_others(limits: RateLimits, clock: Clock) -> None:
    """Each of them sends a line every 3 s, and the flooder twenty a second, for five minutes."""
    socket = socket_of()
    lost = 0
    for tick in range(300 * 20):
        clock.now += 0.05
        admitted(lambda: limits.spend_message(socket, "Flooder"), 1)
        for player in range(40):
            if (tick + player) % 60 == 0:
                lost += 1 - admitted(lambda player=player: limits.spend_message(socket, f"Player{player}"), 1)
    assert lost == 0


def test_the_limit_of_a_game_holds_over_its_players_and_sockets(limits: RateLimits) -> None:
    sockets = [socket_of(), socket_of(), socket_of("game:2")]
    names = (f"Player{number}" for number in itertools.count())
    assert admitted(lambda: limits.spend_message(sockets[0], next(names)), 60) == 60
    assert admitted(lambda: limits.spend_message(sockets[1], next(names)), 60) == 40
    assert admitted(lambda: limits.spend_message(sockets[2], next(names)), 200) == 100


def test_a_long_line_counts_as_several_for_its_game(limits: RateLimits, clock: Clock) -> None:
    """Otherwise a hundred of the longest lines would send 1.6 MB at once to every socket on the channel."""
    names = (f"Player{number}" for number in itertools.count())
    longest = "\U0001f409" * 4000
    assert admitted(lambda: limits.spend_message(socket_of(), next(names), longest), 100) == 6
    assert admitted(lambda: limits.spend_message(socket_of(), next(names), "x" * 1024), 100) == 4
    clock.now += 2
    assert admitted(lambda: limits.spend_message(socket_of(), next(names), "x" * 1025), 100) == 20
    limits.debit_message("game:2", "Alice", longest)
    assert admitted(lambda: limits.spend_message(socket_of("game:2"), next(names)), 1000) == 84
    low = RateLimits(parse_limits("channels/send:game=2/1"), is_on=True, clock=clock)
    assert admitted(lambda: low.spend_message(socket_of(), next(names), longest), 10) == 1, "not never"


def test_lines_admitted_by_other_workers_count_too(limits: RateLimits) -> None:
    for _ in range(7):
        limits.debit_message("game:1", "Alice")
        limits.debit_tell("game:1", "Alice")
    limits.debit_new_channels("game:1", 60)
    assert admitted(lambda: limits.spend_message(socket_of(), "ALICE"), 10) == 3
    assert admitted(lambda: limits.spend_tell(socket_of(), "ALICE"), 10) == 3
    assert admitted(lambda: limits.spend_new_channel("game:1"), 100) == 40


def test_all_sockets_of_a_game_share_five_times_the_limit_of_one(limits: RateLimits, clock: Clock) -> None:
    """Reconnecting does not help: the game's share stays used up."""
    assert admitted(lambda: limits.admit_event(socket_of()), 10_000) == 2000
    assert admitted(lambda: limits.spend_of_socket(socket_of(), GAMES_STATUS), 1000) == 50
    assert limits.wait_for_event(socket_of()).details["retry_after_ms"] == 10
    assert limits.admit_event(socket_of("game:2"))
    clock.now += 10
    assert admitted(lambda: limits.admit_event(socket_of()), 10_000) == 1000


def test_browser_users_do_not_share_a_socket_limit(limits: RateLimits) -> None:
    assert admitted(lambda: limits.admit_event(socket_of("grapevine")), 10_000) == 10_000


def test_the_tells_of_a_game_are_limited_together(limits: RateLimits) -> None:
    """Otherwise one game could fill the outbound queue of another and get it closed."""
    names = (f"Player{number}" for number in itertools.count())
    assert admitted(lambda: limits.spend_tell(socket_of(), next(names), "\U0001f409" * 4000), 1000) == 6
    assert admitted(lambda: limits.spend_tell(socket_of(), next(names), "hi"), 1000) == 4


def test_sign_ins_count_for_the_game_and_from_all_workers(limits: RateLimits) -> None:
    for _ in range(150):
        limits.debit_sign_in("game:1")
    assert admitted(lambda: limits.spend_sign_in("game:1"), 1000) == 250


def test_a_refused_player_costs_the_game_nothing(limits: RateLimits) -> None:
    socket = socket_of()
    assert admitted(lambda: limits.spend_message(socket, "Flooder"), 1000) == 10
    names = (f"Player{number}" for number in itertools.count())
    assert admitted(lambda: limits.spend_message(socket, next(names)), 1000) == 90


def test_the_number_of_buckets_is_bounded(limits: RateLimits) -> None:
    socket = socket_of()
    for number in range(MAX_PLAYERS + 500):
        admitted(lambda number=number: limits.spend_tell(socket, f"Player{number}"), 1)
    assert len(limits._peers["game:1"].players) == MAX_PLAYERS


@pytest.mark.parametrize(("per_second", "is_put_out"), [(15, False), (30, False), (39, False), (45, True), (500, True)])
def test_a_socket_that_stays_far_over_the_limit_is_closed(
    limits: RateLimits, clock: Clock, per_second: int, is_put_out: bool
) -> None:
    socket = socket_of()
    admitted(lambda: limits.admit_event(socket), 400)
    ended_at, started_at = None, clock.now
    while ended_at is None and clock.now < started_at + 60:
        clock.now += 1 / per_second
        if not limits.admit_event(socket) and limits.is_abusive(socket):
            ended_at = clock.now
    assert (ended_at is not None) is is_put_out
    if ended_at is not None:
        assert 10 <= ended_at - started_at < 12


def test_a_short_flood_is_forgiven(limits: RateLimits, clock: Clock) -> None:
    socket = socket_of()
    for _ in range(20):
        for _ in range(500):
            assert limits.admit_event(socket) or not limits.is_abusive(socket)
        clock.now += 30


def test_headroom_is_the_number_of_remaining_requests(limits: RateLimits) -> None:
    socket = socket_of()
    limits.admit_event(socket)
    for _ in range(4):
        limits.spend_message(socket, "Alice")
    limits.spend_message(socket, "Bob")
    headroom = {entry["limit"]: entry for entry in limits.headroom("game:1", {"s1": socket.limits})}
    assert headroom[EVENTS]["left"] == 399
    assert (headroom[MESSAGES_OF_PLAYER]["of"], headroom[MESSAGES_OF_PLAYER]["left"]) == ("alice", 6)
    assert (headroom[MESSAGES_OF_GAME]["left"], headroom[MESSAGES_OF_GAME]["burst"]) == (95, 100)


# The setting


def test_limits_can_be_set() -> None:
    limits = parse_limits(" channels/send:player = 3/0.5 , events:socket=1000/50.5,")
    assert limits[MESSAGES_OF_PLAYER] == Limit(3, 0.5)
    assert limits[EVENTS] == Limit(1000, 50.5)
    assert limits[SUBSCRIPTIONS] == DEFAULTS[SUBSCRIPTIONS]
    assert parse_limits("") == DEFAULTS


@pytest.mark.parametrize(
    "text",
    ["x=1/1", "channels/send=1/1", "events:socket", "events:socket=5", "events:socket=a/b", "events:socket=0/1"]
    + [f"events:socket={value}" for value in ("1/0", "1/nan", "1/inf", "-1/1", "1.5/1", "9999999/1")],
)
def test_an_invalid_limit_stops_the_start(make_settings: Callable[..., Any], text: str) -> None:
    with pytest.raises(SettingsError, match=r"^LIMITS: .*") as caught:
        make_settings(LIMITS=text)
    assert "\n" not in str(caught.value)


# Over real sockets


def ask(client: SocketClient, event: str, payload: Any, times: int) -> list[dict[str, Any]]:
    """Return the answers to many requests sent at once."""
    refs = [str(uuid.uuid4()) for _ in range(times)]
    for ref in refs:
        client.send(event, payload, ref=ref)
    return [client.wait_for(event, ref=ref) for ref in refs]


def codes(answers: list[dict[str, Any]]) -> list[str]:
    return [answer.get("code", "success") for answer in answers]


@pytest.mark.one_worker
def test_a_player_over_the_limit_is_refused(network: Network) -> None:
    client = network.join(channels=["limits"], players=["Alice"])
    answers = ask(client, "channels/send", {"channel": "limits", "name": "Alice", "message": "hi"}, 14)
    assert codes(answers)[:10] == ["success"] * 10
    refused = answers[-1]
    assert (refused["status"], refused["error"], refused["code"]) == ("failure", "rate limit exceeded", "rate-limited")
    assert 0 < refused["retry_after_ms"] <= 500
    line = {"channel": "limits", "name": "Bob", "message": "hi"}
    assert codes(ask(client, "channels/send", line, 1)) == ["success"]
    wait_until(
        lambda: codes(ask(client, "channels/send", {**line, "name": "ALICE"}, 1)) == ["success"],
        seconds=2,
    )


def test_refused_requests_have_no_effect(network: Network) -> None:
    client, other = network.join(channels=["limits"]), network.join(channels=["limits"])
    for number in range(30):
        client.send("channels/send", {"channel": "limits", "name": "Alice", "message": f"line {number}"})
    network.flush(other)
    messages = [frame["payload"]["message"] for frame in other.events("channels/broadcast")]
    lines = [message for message in messages if message.startswith("line")]
    assert 10 <= len(lines) <= 12 and lines[:10] == [f"line {number}" for number in range(10)]
    assert client.events("channels/send") == []


def test_limits_hold_over_sockets_workers_and_reconnects(network: Network) -> None:
    first = network.join(channels=["limits"], worker=0)
    listener = network.join(channels=["limits"], worker=1)
    line = {"channel": "limits", "name": "Alice", "message": "hi"}
    assert codes(ask(first, "channels/send", line, 10)) == ["success"] * 10
    for _ in range(10):
        listener.wait_for("channels/broadcast", payload={"message": "hi"})  # so the other worker knows
    first.drop()

    second = network.open(worker=1)
    second.authenticate(first.peer.client_id, first.peer.client_secret, channels=["limits"])
    answers = codes(ask(second, "channels/send", line, 10))
    assert "rate-limited" in answers and answers.count("success") <= 4


def test_tells_are_limited_by_player_over_workers(network: Network) -> None:
    first = network.join(players=["Alice", "Carol"], worker=0)
    receiver = network.join(players=["Bob"], worker=1)
    tell = {"from_name": "Alice", "to_game": receiver.peer.short_name, "to_name": "Bob", "message": "hi"}
    answers = codes(ask(first, "tells/send", tell, 14))
    assert answers[:10] == ["success"] * 10 and answers[-1] == "rate-limited"
    assert codes(ask(first, "tells/send", {**tell, "from_name": "Carol"}, 1)) == ["success"]
    nobody = ask(first, "tells/send", {**tell, "to_name": "Nobody"}, 1)
    assert codes(nobody) == ["player-offline"]  # checked before the limit
    for _ in range(11):
        receiver.wait_for("tells/receive")
    second = network.open(worker=1)
    second.authenticate(
        first.peer.client_id,
        first.peer.client_secret,
        supports=["channels", "players", "tells"],
        players=["Alice"],
    )
    answers = codes(ask(second, "tells/send", tell, 8))
    assert answers.count("success") <= 3


@pytest.mark.one_worker
@pytest.mark.parametrize("event", ["games/status", "players/status"])
def test_only_the_status_of_all_games_is_limited_per_socket(network: Network, event: str) -> None:
    client = network.join()
    for number in range(11):
        client.send(event, ref=number)
    refused = client.wait_for(event, ref=10)
    assert refused["code"] == "rate-limited" and 3000 < refused["retry_after_ms"] <= 5000
    assert {frame["ref"] for frame in client.events(event) if "payload" in frame} == set(range(10))
    answers = ask(client, event, {"game": "Grapevine"}, 30)
    assert all("payload" in answer for answer in answers)
    other = "players/status" if event == "games/status" else "games/status"
    client.send(other, ref="other")
    assert "payload" in client.wait_for(other, ref="other")


@pytest.mark.one_worker
def test_subscriptions_are_limited_except_those_in_authenticate(network: Network) -> None:
    names = [f"chan-{a}{b}" for a in "abcdefghij" for b in "abcdefgh"]
    client = network.join(channels=names)
    answers = codes(ask(client, "channels/subscribe", {"channel": names[0]}, 64))
    assert answers[:60] == ["success"] * 60 and answers[-1] == "rate-limited"
    assert codes(ask(client, "channels/unsubscribe", {"channel": names[0]}, 1)) == ["rate-limited"]
    assert codes(ask(client, "channels/send", {"channel": names[79], "name": "A", "message": "hi"}, 1)) == ["success"]


def test_a_game_cannot_create_too_many_channels(network: Network) -> None:
    letters = "abcdefghij"
    names = ["many-" + first + second for first in letters for second in letters]
    game = network.game()
    answer = network.open(worker=0).authenticate(game.client_id, game.client_secret, channels=[*names, "one-more"])
    assert answer["payload"]["refused_channels"] == ["one-more"]
    client = network.open(worker=0)
    again = client.authenticate(game.client_id, game.client_secret, channels=["and-another", names[0]])
    assert again["payload"]["refused_channels"] == ["and-another"], "a new socket is no new start"
    assert codes(ask(client, "channels/subscribe", {"channel": "and-another"}, 1)) == ["rate-limited"]
    assert codes(ask(client, "channels/subscribe", {"channel": names[1]}, 1)) == ["success"]
    elsewhere = network.open(worker=1)
    network.flush(network.join(worker=1))  # so the other worker knows
    again = elsewhere.authenticate(game.client_id, game.client_secret, channels=["and-another", names[0]])
    assert again["payload"]["refused_channels"] == ["and-another"], "another worker is no new start"


def test_applications_have_ten_times_the_limits_over_a_socket(network: Network) -> None:
    client = network.join(network.application(), sync=False)
    network.join(channels=["limits"])
    answers = codes(ask(client, "channels/send", {"channel": "limits", "name": "Alice", "message": "hi"}, 110))
    assert answers[:100] == ["success"] * 100


@pytest.mark.one_worker
def test_events_over_the_total_limit_are_refused(network: Network) -> None:
    client = network.join()
    answers = ask(client, "players/sign-in", {"name": "Alice"}, 450)
    assert codes(answers)[:390] == ["success"] * 390
    assert answers[-1]["error"] == "rate limit exceeded" and 0 < answers[-1]["retry_after_ms"] <= 50
    # Nothing unrequested is sent, and the socket stays open.
    for text in ("not json", '{"event": "nope"}', '{"event": "players/sign-in", "payload": {"name": "Bob"}}') * 20:
        client.send_text(text)
    wait_until(lambda: codes(ask(client, "players/sign-in", {"name": "Alice"}, 1)) == ["success"], seconds=5)
    assert {frame["event"] for frame in client.frames} <= {
        "authenticate",
        "heartbeat",
        "error",
        "players/sign-in",
        "games/connect",
        "games/disconnect",
    }


def test_a_socket_that_floods_for_ten_seconds_is_closed(start_worker: Any, stored: Any, connect: Any) -> None:
    worker = start_worker(RATE_LIMITS="on", LIMITS="events:socket=20/1")
    _, credentials = stored.game_with_credentials()
    client = connect(worker.url)
    client.authenticate(credentials.client_id, credentials.client_secret)
    started = time.monotonic()
    while not client.is_closed and time.monotonic() < started + 20:
        try:
            client.send_text('{"event":"channels/unsubscribe","payload":{"channel":"none"}}')
        except OSError:
            pass
        client._read(0.05)
    client.wait_closed()
    assert (client.close_code, client.close_reason) == (4000, "rate limit exceeded, goodbye")
    assert 9.5 < time.monotonic() - started < 14
    goodbye = client.frames[-1]
    assert (goodbye["event"], goodbye["code"], goodbye["error"]) == (
        "error",
        "rate-limited",
        "rate limit exceeded, goodbye",
    )
