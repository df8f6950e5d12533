"""Playing in the browser: what owners allow, proofs of their addresses, and where the gateway may connect."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared import play_tokens
from shared.db import utc_now
from shared.errors import Conflict, Forbidden, Invalid, InvalidCredentials, NotFound, TooMany
from shared.services import check_allowances, games, play
from shared.services.authority import actors
from shared.services.authority.actors import VISITOR
from shared.services.play import Proof, ProofFailure

pytestmark = pytest.mark.usefixtures("any_database")
KEYS = ["a key for tests, long enough to be taken"]


@pytest.fixture
def owner(make):
    return make.user("keeper")


@pytest.fixture
def actor(session, owner, game):
    return actors.of_user(session, owner.id)


@pytest.fixture
def game(make, owner):
    return make.game("Harbour", owner=owner)


@pytest.fixture
def way(make, game):
    return make.connection(game, type="telnet", host="mud.example.com", port=4000)


def allow(session, actor, **switches) -> None:
    values = {"is_allowed": True, "allows_guests": False, "sends_address": False, **switches}
    play.set_switches(session, actor, short_name="Harbour", **values)


def prove(session, actor, way, proof=Proof.DNS, failure=None) -> None:
    now = utc_now()
    play.ask_for_proof(session, actor, connection_id=way.id, now=now)
    (task,) = play.take_proofs(session, now=now, at_most=10)
    play.finish_proof(session, task, proof=proof, failure=failure, now=now)


def test_a_game_can_be_played_when_it_is_allowed_and_its_address_is_proved(session, actor, game, way) -> None:
    with pytest.raises(Forbidden):
        play.get_target(session, actor, game_id=game.id)
    allow(session, actor)
    assert play.list_playable(session, game) == []
    prove(session, actor, way)
    play.set_encoding(session, actor, connection_id=way.id, encoding="gbk")
    target = play.get_target(session, actor, game_id=game.id)
    assert (target.host, target.port, target.is_tls, target.encoding) == ("mud.example.com", 4000, False, "gbk")
    allow(session, actor, is_allowed=False)
    with pytest.raises(Forbidden):
        play.get_target(session, actor, game_id=game.id)


def test_guests_play_only_where_the_owner_allows_it(session, actor, game, way) -> None:
    prove(session, actor, way)
    allow(session, actor)
    with pytest.raises(Forbidden, match="sign in"):
        play.get_target(session, VISITOR, game_id=game.id)
    allow(session, actor, allows_guests=True)
    assert play.get_target(session, VISITOR, game_id=game.id).connection_id == way.id
    game.is_displayed = False
    with pytest.raises(NotFound):
        play.get_target(session, VISITOR, game_id=game.id)
    with pytest.raises(NotFound):
        play.get_target(session, actor, game_id=game.id + 1)


def test_an_edited_address_must_be_proved_again(session, actor, game, way) -> None:
    allow(session, actor)
    prove(session, actor, way)
    games.update_connection(session, actor, connection_id=way.id, type="telnet", host="bank.example.com", port=way.port)
    assert play.list_playable(session, game) == []
    games.update_connection(session, actor, connection_id=way.id, type="telnet", host="mud.example.com", port=way.port)
    assert [playable for playable, _ in play.list_playable(session, game)] == [way]


def test_an_address_that_was_edited_during_the_check_is_not_proved(session, actor, game, way) -> None:
    allow(session, actor)
    play.ask_for_proof(session, actor, connection_id=way.id, now=utc_now())
    (task,) = play.take_proofs(session, now=utc_now(), at_most=10)
    games.update_connection(session, actor, connection_id=way.id, type="telnet", host="bank.example.com", port=23)
    play.finish_proof(session, task, proof=Proof.MSSP, failure=None, now=utc_now())
    assert play.list_playable(session, game) == []


def test_a_failed_check_says_why_and_takes_nothing_away(session, actor, game, way) -> None:
    allow(session, actor)
    prove(session, actor, way)
    prove(session, actor, way, proof=None, failure=ProofFailure.UNREACHABLE)
    ((_, row),) = play.list_ways(session, game)
    assert (row.failure, row.proof, row.asked_at) == ("unreachable", "dns", None)
    assert play.list_playable(session, game) != []
    assert set(play.FAILURES) == set(ProofFailure) and set(play.PROOFS) == set(Proof)


def test_each_check_is_claimed_once_until_its_lease_is_over(session, actor, way) -> None:
    now = utc_now()
    play.ask_for_proof(session, actor, connection_id=way.id, now=now)
    assert len(play.take_proofs(session, now=now, at_most=10)) == 1
    assert play.take_proofs(session, now=now, at_most=10) == []
    assert len(play.take_proofs(session, now=now + play.LEASE + timedelta(seconds=1), at_most=10)) == 1


def test_a_check_whose_address_was_deleted_is_forgotten(session, actor, way) -> None:
    play.ask_for_proof(session, actor, connection_id=way.id, now=utc_now())
    (task,) = play.take_proofs(session, now=utc_now(), at_most=10)
    games.delete_connection(session, actor, connection_id=way.id)
    play.finish_proof(session, task, proof=Proof.MSSP, failure=None, now=utc_now())


def test_checks_are_limited_as_connection_checks_are(session, actor, make, game, monkeypatch) -> None:
    monkeypatch.setitem(check_allowances.CHECKS, check_allowances.PortClass.SYSTEM, 1)
    way = make.connection(game, type="telnet", host="mud.example.com", port=25)
    play.ask_for_proof(session, actor, connection_id=way.id, now=utc_now())
    with pytest.raises(TooMany):
        play.ask_for_proof(session, actor, connection_id=way.id, now=utc_now())


def test_strangers_change_nothing(session, make, way) -> None:
    for other in (VISITOR, actors.of_user(session, make.user().id)):
        for act in (
            lambda a: play.get_own_play(session, a, short_name="Harbour"),
            lambda a: allow(session, a),
            lambda a: play.set_encoding(session, a, connection_id=way.id, encoding="gbk"),
            lambda a: play.ask_for_proof(session, a, connection_id=way.id, now=utc_now()),
        ):
            with pytest.raises(NotFound):
                act(other)


def test_encodings_and_kinds_are_checked(session, make, actor, game, way) -> None:
    with pytest.raises(Invalid):
        play.set_encoding(session, actor, connection_id=way.id, encoding="rot13")
    page = make.connection(game, type="web", url="https://example.com", host="", port=None)
    with pytest.raises(Conflict):
        play.ask_for_proof(session, actor, connection_id=page.id, now=utc_now())


def test_tls_comes_first(session, make, actor, game, way) -> None:
    allow(session, actor)
    secure = make.connection(game, type="secure telnet", host="mud.example.com", port=4001)
    prove(session, actor, way)
    prove(session, actor, secure)
    target = play.get_target(session, actor, game_id=game.id)
    assert (target.connection_id, target.is_tls) == (secure.id, True)


@pytest.mark.parametrize("port", [1, 22, 25, 80, 110, 443, 3306, 5432, 6379, 11211, 4100])
def test_ports_of_other_services_are_refused(port) -> None:
    assert not play.is_port_allowed(port, own_ports=[4100])


@pytest.mark.parametrize("port", [23, 992, 1024, 4000, 6969, 8080, 65535])
def test_ports_of_games_are_allowed(port) -> None:
    assert play.is_port_allowed(port, own_ports=[4100])


def test_tokens_are_read_once_made_and_not_when_forged_or_old(monkeypatch) -> None:
    token = play_tokens.make_token(KEYS, game_id=3, user_id=7, session_token="s", session_number="n")
    content = play_tokens.read_token(KEYS, token)
    assert (content.game_id, content.user_id, content.session_number) == (3, 7, "n") and content.mark
    guest = play_tokens.read_token(KEYS, play_tokens.make_token(KEYS, game_id=3))
    assert (guest.user_id, guest.mark) == (None, "") and guest.number != content.number
    for bad in ("", "x", token[:-2], play_tokens.make_token(["another key of enough length"], game_id=3)):
        with pytest.raises(InvalidCredentials):
            play_tokens.read_token(KEYS, bad)
    monkeypatch.setattr(play_tokens, "utc_now", lambda: utc_now() + timedelta(minutes=2))
    with pytest.raises(InvalidCredentials, match="too old"):
        play_tokens.read_token(KEYS, token)
