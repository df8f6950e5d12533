"""What games say about themselves: who is asked and when, and what odd answers mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.db import utc_now
from shared.services import game_facts, games, play
from shared.services.authority.actors import OPERATOR
from shared.services.game_facts import Answer, Source

pytestmark = pytest.mark.usefixtures("any_database")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def game(make):
    return make.game("Harbour")


@pytest.fixture
def way(session, make, game):
    way = make.connection(game, host="mud.example.com", port=4000)
    play.ask_for_proof(session, OPERATOR, connection_id=way.id, now=utc_now())
    (task,) = play.take_proofs(session, now=utc_now(), at_most=1)
    play.finish_proof(session, task, proof=play.Proof.DNS, failure=None, now=utc_now())
    return way


def take(session, now=NOW):
    return game_facts.take_due(session, now=now, at_most=10)


def answer(**variables: str) -> Answer:
    return Answer(Source.MSSP, {name.replace("_", " "): [value] for name, value in variables.items()})


def test_only_proved_addresses_of_games_that_want_it_are_asked(session, make, game, way) -> None:
    make.connection(game, host="other.example.com", port=4000)
    (task,) = take(session)
    assert (task.connection_id, task.host, task.port, task.is_tls) == (way.id, "mud.example.com", 4000, False)
    assert take(session) == []  # claimed
    later = NOW + game_facts.LEASE + HOUR
    for change in (
        lambda: setattr(game, "is_displayed", False),
        lambda: play.set_switches(
            session,
            OPERATOR,
            short_name="Harbour",
            is_allowed=True,
            allows_guests=True,
            sends_address=False,
            is_asked=False,
        ),
        lambda: games.update_connection(
            session, OPERATOR, connection_id=way.id, type="telnet", host="bank.example.com", port=4000
        ),
    ):
        with session.begin_nested() as savepoint:
            change()
            session.flush()
            assert take(session, later) == []
            savepoint.rollback()
        session.expire_all()
    assert len(take(session, later)) == 1


def test_an_answer_is_shown_until_it_is_old(session, game, way) -> None:
    (task,) = take(session)
    game_facts.finish(session, task, answer(PLAYERS="12", NAME="Harbour"), now=NOW)
    count = game_facts.find_count(session, game, now=NOW + HOUR)
    assert (count.players, count.source, count.at) == (12, "MSSP", NOW)
    assert game_facts.find_count(session, game, now=NOW + game_facts.RECENT + HOUR) is None
    assert take(session, NOW + 0.9 * HOUR) == [] and len(take(session, NOW + HOUR)) == 1


def test_silence_backs_off_to_a_week_and_never_stops(session, game, way) -> None:
    (task,) = take(session)
    game_facts.finish(session, task, answer(PLAYERS="12"), now=NOW)
    waits, now = [], NOW
    for _ in range(12):
        game_facts.finish(session, task, None, now=now)
        ((_, row),) = game_facts.list_facts(session, game)
        waits.append(row.due_at - now)
    assert waits[:3] == [2 * HOUR, 4 * HOUR, 8 * HOUR] and waits[-1] == timedelta(days=7)
    assert row.players == 12 and row.answered_at == NOW  # the last answer is kept, with its time
    game_facts.finish(session, task, answer(PLAYERS="3"), now=now)
    assert row.failures == 0 and row.due_at == now + HOUR


@pytest.mark.parametrize(
    ("delay", "hours"), [("-1", 1), ("0", 1), ("5", 5), ("23", 23), ("999999999999", 168), ("soon", 1), ("", 1)]
)
def test_the_crawl_delay_is_a_floor(delay, hours) -> None:
    assert game_facts.interval({"CRAWL DELAY": [delay]}, 0) == timedelta(hours=hours)
    assert game_facts.interval({"CRAWL DELAY": ["5"]}, 4) == 16 * HOUR


@pytest.mark.parametrize(
    ("players", "count"),
    [(["12"], 12), (["5", "7"], 7), (["many"], None), (["-1"], None), ([], None), (["9" * 15], 100_000)],
)
def test_odd_counts_of_players(players, count) -> None:
    assert game_facts.count_of({"PLAYERS": players} if players else {}) == count


def test_uptime_is_a_moment_or_a_number_of_seconds() -> None:
    start = NOW - timedelta(days=3)
    for uptime in (str(int(start.timestamp())), str(3 * 86_400)):
        assert game_facts.started_at({"UPTIME": [uptime]}, at=NOW) == start
    for uptime in ("0", "-1", "soon", str(int(NOW.timestamp()) + 900), "9" * 15):
        assert game_facts.started_at({"UPTIME": [uptime]}, at=NOW) is None


def test_advice_names_what_is_missing_and_what_deviates() -> None:
    good = {name: ["x"] for name in ("NAME", "GENRE", "GAMEPLAY", "LANGUAGE", "CODEBASE", "CONTACT", "WEBSITE")}
    good |= {"PLAYERS": ["3"], "UPTIME": [str(int(NOW.timestamp()) - 60)]}
    assert game_facts.advise(good, at=NOW) == []
    odd = game_facts.advise({**good, "PLAYERS": ["lots"], "UPTIME": ["500"], "GENRE": [""]}, at=NOW)
    assert [sentence.split()[0] for sentence in odd] == ["GENRE", "PLAYERS", "UPTIME"]


def test_an_address_that_is_deleted_meanwhile_is_forgotten(session, game, way) -> None:
    (task,) = take(session)
    games.delete_connection(session, OPERATOR, connection_id=way.id)
    game_facts.finish(session, task, answer(PLAYERS="1"), now=NOW)
    assert game_facts.list_facts(session, game) == []
