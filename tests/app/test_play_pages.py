"""The pages to play a game in the browser, for players and for owners."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared import db, play_tokens
from shared.db import utc_now
from shared.models import PlayWay
from shared.services import game_facts, play
from shared.services.authority.actors import OPERATOR
from shared.services.play import Proof, ProofFailure


@pytest.fixture
def environment(environment):
    """Sockets on ports of their own, as on a real network."""
    return {**environment, "SOCKET_PORT": "4998", "GATEWAY_PORT": "4999"}


@pytest.fixture
def game(stored):
    owner = stored.user("keeper", is_verified=True)
    game = stored.game("Harbour", owner=owner)
    game.way = stored.connection(game, host="mud.example.com", port=4000)
    return game


def finish(proof: Proof | None = Proof.DNS, failure: ProofFailure | None = None) -> None:
    """Do the gateway's work."""
    with db.transaction() as session:
        for task in play.take_proofs(session, now=utc_now(), at_most=10):
            play.finish_proof(session, task, proof=proof, failure=failure, now=utc_now())


def make_playable(game, *, allows_guests: bool) -> None:
    with db.transaction() as session:
        play.set_switches(
            session, OPERATOR, short_name="Harbour", is_allowed=True, allows_guests=allows_guests, sends_address=False
        )
        play.ask_for_proof(session, OPERATOR, connection_id=game.way.id, now=utc_now())
    finish()


def test_an_owner_allows_it_and_proves_an_address(visitor, game) -> None:
    visitor.sign_in("keeper")
    page = visitor.open("/manage/games/Harbour/play")
    assert "gossip-" in page and "Not proved" in page
    visitor.send("/manage/games/Harbour/play", is_allowed="y", allows_guests="y")
    assert "Play in the browser" not in visitor.open("/games/Harbour")
    visitor.send(f"/manage/connections/{game.way.id}/prove", form_on="/manage/games/Harbour/play")
    page = visitor.open("/manage/games/Harbour/play")
    assert "Checking" in page and 'http-equiv="refresh"' in page
    finish(None, ProofFailure.NO_TOKEN)
    page = visitor.open("/manage/games/Harbour/play")
    assert play.FAILURES[ProofFailure.NO_TOKEN] in page and "refresh" not in page
    visitor.send(f"/manage/connections/{game.way.id}/prove", form_on="/manage/games/Harbour/play")
    finish()
    assert play.PROOFS[Proof.DNS] in visitor.open("/manage/games/Harbour/play")
    assert "Play in the browser" in visitor.open("/games/Harbour")
    visitor.send("/manage/games/Harbour/play")
    assert "Play in the browser" not in visitor.open("/games/Harbour")


def test_an_owner_sets_the_encoding(visitor, game) -> None:
    def send(encoding: str):
        path = f"/manage/connections/{game.way.id}/encoding"
        return visitor.send(path, form_on="/manage/games/Harbour/play", encoding=encoding)

    visitor.sign_in("keeper")
    assert send("big5").status_code == 303
    assert send("rot13").status_code == 422
    with db.reading() as session:
        assert session.get_one(PlayWay, game.way.id).encoding == "big5"
    assert '<option value="big5" selected>' in visitor.open("/manage/games/Harbour/play")


def test_the_token_names_the_game_and_the_person(visitor, game, settings) -> None:
    path = "/games/Harbour/play/token.json"
    make_playable(game, allows_guests=True)
    answer = visitor.client.get(path)
    content = play_tokens.read_token(settings.signing_keys, answer.json["token"])
    assert (content.game_id, content.user_id) == (game.id, None)
    assert answer.headers["Cache-Control"] == "no-store"
    visitor.sign_in("keeper")
    content = play_tokens.read_token(settings.signing_keys, visitor.client.get(path).json["token"])
    assert content.user_id == game.owner_id and content.mark and content.session_number


def test_guests_are_asked_to_sign_in_where_the_owner_wants_it(visitor, game) -> None:
    make_playable(game, allows_guests=False)
    assert visitor.client.get("/games/Harbour/play/token.json").status_code == 401
    assert "Sign in to play" in visitor.open("/games/Harbour/play")
    visitor.sign_in("keeper")
    assert 'id="play-text"' in visitor.open("/games/Harbour/play")


def test_only_this_page_may_connect_to_the_gateway(visitor, game, settings) -> None:
    make_playable(game, allows_guests=True)
    gateway = settings.gateway_url.removesuffix("/play-socket")
    assert gateway in visitor.client.get("/games/Harbour/play").headers["Content-Security-Policy"]
    assert gateway not in visitor.client.get("/games/Harbour").headers["Content-Security-Policy"]


def test_a_game_that_cannot_be_played(visitor, game) -> None:
    assert "cannot be played in the browser" in visitor.open("/games/Harbour/play")
    assert visitor.client.get("/games/Nowhere/play").status_code == 404
    visitor.sign_in("keeper")
    assert visitor.client.get("/games/Harbour/play/token.json").status_code == 403


def test_what_a_game_says_about_itself(visitor, game) -> None:
    make_playable(game, allows_guests=True)
    assert 'id="game-count"' not in visitor.open("/games/Harbour")

    def answer(variables: dict[str, list[str]] | None) -> None:
        with db.transaction() as session:
            for task in game_facts.take_due(session, now=utc_now() + timedelta(days=8), at_most=10):
                found = None if variables is None else game_facts.Answer(game_facts.Source.MSSP, variables)
                game_facts.finish(session, task, found, now=utc_now())

    visitor.sign_in("keeper")
    assert "says about itself" not in visitor.open("/manage/games/Harbour/play")
    answer(None)
    assert "It has not answered yet" in visitor.open("/manage/games/Harbour/play")
    answer({"PLAYERS": ["1200"], "NAME": ["<b>Harbour</b>"], "UPTIME": ["500"]})
    assert "1,200 online, by MSSP" in visitor.open("/games/Harbour")
    page = visitor.open("/manage/games/Harbour/play")
    assert "GENRE is missing" in page and "UPTIME is the seconds since the start" in page
    assert "&lt;b&gt;Harbour" in visitor.client.get("/manage/games/Harbour/play").text
    answer({"PLAYERS": ["many"]})
    assert 'id="game-count"' not in visitor.open("/games/Harbour")
