"""Signing in to games with an account: OAuth 2 and OpenID Connect, as players and games see it.

docs/sign-in.md lists which test covers which recommendation of RFC 9700.
"""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import select

from shared import db
from shared.models import AuthorizationCode, Grant, SigningKey, Token
from shared.services import accounts, games
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from shared.services.oauth import keys, tokens
from tests.support.factory import PASSWORD
from tests.support.relying_party import CALLBACK, RelyingParty, pkce, query_of, set_up

LOOPBACK = "http://127.0.0.1/"


@pytest.fixture
def player(stored):
    return stored.user("Wren", is_verified=True)


@pytest.fixture
def game(stored):
    game, credentials = stored.game_with_credentials("Harbour", name="Midnight Harbour")
    set_up(game)
    game.credentials = credentials
    return game


@pytest.fixture
def party(visitor, player, game):
    """The game, and a player who is signed in to the site."""
    return RelyingParty(visitor.sign_in("Wren"), game.credentials)


def age(model, **delta) -> None:
    """Make all codes or tokens older."""
    with db.transaction() as session:
        for row in session.scalars(select(model)):
            column = "created_at" if model is AuthorizationCode else "issued_at"
            setattr(row, column, getattr(row, column) - timedelta(**delta))


def claims_in(party, id_token: str) -> dict:
    """Return the claims of an ID token, verified with the published keys as a game does."""
    published = party.visitor.client.get("/oauth/jwks.json").json
    return jwt.decode(id_token, KeySet.import_key_set(published), algorithms=["RS256", "ES256"]).claims


# The page of consent


def test_a_player_agrees_and_the_game_learns_who_they_are(party, player, settings):
    page = party.ask(nonce="n1")
    assert page.status_code == 200
    text = party.visitor.page
    for expected in ("Sign in to Midnight Harbour?", "Wren", "wren@example.com", "harbour.example"):
        assert expected in text
    tokens = party.sign_in(nonce="n1")
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("Bearer", 3600, "openid profile email")
    claims = claims_in(party, tokens["id_token"])
    assert claims["iss"] == settings.public_url
    assert claims["aud"] == party.credentials.client_id
    assert claims["nonce"] == "n1"
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["auth_time"] <= claims["iat"]
    expected = {
        "sub": player.uid,
        "preferred_username": "Wren",
        "name": "Wren",
        "profile": f"{settings.public_url}/players/Wren",
        "updated_at": int(player.created_at.timestamp()),
        "email": "wren@example.com",
        "email_verified": True,
    }
    assert party.read("/oauth/userinfo", tokens["access_token"]).json == expected
    assert {name: claims[name] for name in expected} == expected


def test_the_answer_names_us_and_repeats_the_state(party, settings):
    answer = party.decide(state="a b&c")
    assert answer["state"] == "a b&c"
    assert answer["iss"] == settings.public_url
    assert answer.keys() == {"code", "state", "iss"}


def test_a_refusal_is_told_to_the_game_and_stores_nothing(party, settings):
    answer = party.decide(allow=False)
    assert answer["error"] == "access_denied"
    assert (answer["state"], answer["iss"]) == ("s1", settings.public_url)
    with db.reading() as session:
        assert session.scalars(select(Grant)).all() == []


def test_the_page_is_not_shown_again_and_the_state_is_that_of_this_sign_in(party):
    party.decide()
    answer = party.ask(state="another")
    assert answer.status_code == 302
    assert query_of(answer.location)["state"] == "another"


def test_more_scopes_need_consent_again(party):
    party.decide(scope="openid")
    assert party.ask(scope="openid").status_code == 302
    assert party.ask(scope="openid email").status_code == 200


def test_a_program_on_the_computer_always_needs_consent(party, game):
    set_up(game, LOOPBACK)
    party.uri = "http://127.0.0.1:53682/"
    _verifier, challenge = pkce()
    asked = {"code_challenge": challenge, "code_challenge_method": "S256"}
    party.decide(**asked)
    assert party.ask(**asked).status_code == 200
    assert "a program on your computer" in party.visitor.page
    assert query_of(party.ask(**asked, prompt="none").location)["error"] == "consent_required"


def test_an_address_that_is_not_verified_is_not_shared(party, stored, new_visitor):
    stored.user("Odo")
    party.visitor = new_visitor().sign_in("Odo")
    tokens = party.sign_in()
    assert not {"email", "email_verified"} & party.read("/oauth/userinfo", tokens["access_token"]).json.keys()
    assert party.read("/users/me", tokens["access_token"]).json["email"] is None


def test_the_page_cannot_be_framed_and_leads_only_to_the_game(party):
    policy = party.ask().headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' https://harbour.example;" in policy
    sign_in = party.visitor.client.get("/sign-in", query_string={"next": party.address()})
    assert "form-action 'self' https://harbour.example;" in sign_in.headers["Content-Security-Policy"]
    foreign = party.address(redirect_uri="https://evil.example/")
    sign_in = party.visitor.client.get("/sign-in", query_string={"next": foreign})
    assert "form-action 'self';" in sign_in.headers["Content-Security-Policy"]


def test_consent_needs_the_token_of_the_form(party):
    answer = party.visitor.client.post(
        party.address().replace("/oauth/authorize", "/oauth/consent"), data={"allow": "true"}
    )
    assert answer.status_code == 400


# Faults of a request


@pytest.mark.parametrize(
    "fault",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"client_id": "é\u2028"},
        {"redirect_uri": None},
        {"redirect_uri": "https://harbour.example/auth/callback/"},
        {"redirect_uri": "https://harbour.example/auth/callback?x=1"},
        {"redirect_uri": "https://evil.example/auth/callback"},
        {"redirect_uri": "http://harbour.example/auth/callback"},
        {"redirect_uri": "https://harbour.example:8443/auth/callback"},
        {"redirect_uri": "urn:ietf:wg:oauth:2.0:oob"},
        {"redirect_uri": "javascript:alert(1)//"},
    ],
)
def test_nobody_is_sent_to_an_address_that_is_not_registered(party, fault):
    answer = party.ask(**fault)
    assert answer.status_code == 400
    assert "The game’s request has a fault" in party.visitor.page


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "profile admin"}, "invalid_scope"),
        ({"scope": "nothing"}, "invalid_scope"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "everything"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"code_challenge": "x" * 43}, "invalid_request"),
        ({"code_challenge": "x" * 43, "code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short", "code_challenge_method": "S256"}, "invalid_request"),
        ({"code_challenge_method": "S256"}, "invalid_request"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"request_uri": "http://169.254.169.254/"}, "request_uri_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
    ],
)
def test_other_faults_are_told_to_the_game(party, settings, fault, error):
    answer = party.ask(**fault)
    assert answer.status_code == 302
    told = query_of(answer.location)
    assert answer.location.startswith(f"{CALLBACK}?")
    assert (told["error"], told["state"], told["iss"]) == (error, "s1", settings.public_url)
    assert told["error_description"]


def test_openid_requests_may_name_scopes_that_we_do_not_know(party):
    assert party.sign_in(scope="openid offline_access profile")["scope"] == "openid profile"


def test_repeated_parameters_are_refused(party):
    answer = party.visitor.client.get(party.address() + "&state=s2")
    assert answer.status_code == 400


def test_parameters_named_like_our_own_do_no_harm(party):
    answer = party.visitor.client.get(party.address(endpoint="x", _external="1", _scheme="javascript", values="y"))
    assert answer.status_code == 200
    assert "javascript:" not in answer.get_data(as_text=True)


def test_the_request_may_be_a_form(party):
    answer = party.visitor.client.post(
        "/oauth/authorize", data=query_of(party.address()), headers={"Origin": "https://harbour.example"}
    )
    assert (answer.status_code, answer.location) == (303, party.address())


# Signing in first


def test_a_visitor_signs_in_first_and_comes_back(party, new_visitor):
    party.visitor = new_visitor()
    answer = party.ask()
    assert answer.status_code == 303
    assert answer.location.startswith("/sign-in?")
    signed_in = party.visitor.send(answer.location, login="Wren", password=PASSWORD)
    assert signed_in.location.startswith("/oauth/authorize?")
    assert party.visitor.client.get(signed_in.location).status_code == 200


def test_no_page_is_shown_if_the_game_wants_none(party, new_visitor):
    assert query_of(party.ask(prompt="none").location)["error"] == "consent_required"
    party.decide()
    assert "code" in query_of(party.ask(prompt="none").location)
    party.visitor = new_visitor()
    assert query_of(party.ask(prompt="none").location)["error"] == "login_required"


@pytest.mark.parametrize("wish", [{"prompt": "login"}, {"prompt": "select_account"}, {"max_age": "0"}])
def test_a_game_can_ask_for_a_fresh_sign_in(party, wish):
    party.decide()
    with party.visitor.client.session_transaction() as cookie:
        cookie["signed_in_at"] -= 10
    answer = party.ask(**wish)
    assert answer.location.startswith("/sign-in?")
    signed_in = party.visitor.send(answer.location, login="Wren", password=PASSWORD)
    again = party.visitor.client.get(signed_in.location)
    assert "code" in query_of(again.location)


def test_a_session_that_is_young_enough_will_do(party):
    party.decide()
    assert "code" in query_of(party.ask(max_age="600").location)
    with party.visitor.client.session_transaction() as cookie:
        cookie["signed_in_at"] -= 601
    assert party.ask(max_age="600").location.startswith("/sign-in?")


def test_a_session_of_unknown_age_is_asked_again_only_if_it_matters(party):
    with party.visitor.client.session_transaction() as cookie:
        del cookie["signed_in_at"]
    tokens = party.sign_in()
    assert "auth_time" not in claims_in(party, tokens["id_token"])
    assert party.ask(max_age="600").location.startswith("/sign-in?")


def test_a_game_can_ask_for_consent_again(party):
    party.decide()
    assert party.ask(prompt="consent").status_code == 200


# Codes


def test_a_code_works_once_and_a_replay_revokes_what_it_gave(party):
    code = party.decide()["code"]
    tokens = party.redeem(code).json
    assert party.read("/users/me", tokens["access_token"]).status_code == 200
    replayed = party.redeem(code)
    assert (replayed.status_code, replayed.json["error"]) == (400, "invalid_grant")
    assert party.read("/users/me", tokens["access_token"]).status_code == 401
    assert party.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"


def test_a_code_is_good_for_a_minute(party):
    code = party.decide()["code"]
    age(AuthorizationCode, seconds=61)
    assert party.redeem(code).json["error"] == "invalid_grant"


def test_a_code_belongs_to_one_game_and_one_address(party, stored, game):
    set_up(game, CALLBACK, "https://harbour.example/other")
    code = party.decide()["code"]
    assert party.redeem(code, redirect_uri="https://harbour.example/other").json["error"] == "invalid_grant"
    other, credentials = stored.game_with_credentials("Reef")
    set_up(other)
    assert RelyingParty(party.visitor, credentials).redeem(code).json["error"] == "invalid_grant"
    assert party.redeem(code).status_code == 200


@pytest.mark.parametrize("secret", ["wrong", None])
def test_a_game_that_must_send_its_secret_must_send_the_right_one(party, game, secret):
    set_up(game, requires_secret=True)
    answer = party.redeem(party.decide()["code"], secret=secret)
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert answer.json["error_description"]


def test_a_secret_that_is_sent_must_be_right_though_none_is_required(party):
    code = party.decide()["code"]
    assert party.redeem(code, secret="wrong").json["error"] == "invalid_client"
    header = base64.b64encode(f"{party.credentials.client_id}:wrong".encode()).decode()
    form = {"grant_type": "authorization_code", "code": code, "client_id": party.credentials.client_id}
    answer = party.visitor.client.post("/oauth/token", data=form, headers={"Authorization": f"Basic {header}"})
    assert answer.json["error"] == "invalid_client"
    assert party.redeem(code).status_code == 200


def test_the_secret_may_be_in_the_header_but_not_also_in_the_body(party):
    code = party.decide()["code"]
    header = base64.b64encode(f"{party.credentials.client_id}:{party.credentials.client_secret}".encode()).decode()
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    headers = {"Authorization": f"Basic {header}"}
    twice = party.visitor.client.post(
        "/oauth/token", data={**form, "client_secret": party.credentials.client_secret}, headers=headers
    )
    assert twice.json["error"] == "invalid_request"
    assert party.visitor.client.post("/oauth/token", data=form, headers=headers).status_code == 200


def test_pkce_binds_the_code_to_who_asked_for_it(party):
    verifier, challenge = pkce()
    asked = {"code_challenge": challenge, "code_challenge_method": "S256"}
    code = party.decide(**asked)["code"]
    assert party.redeem(code).json["error"] == "invalid_request"
    assert party.redeem(code, code_verifier=pkce()[0]).json["error"] == "invalid_grant"
    assert party.redeem(code, code_verifier=verifier).status_code == 200


def test_pkce_cannot_be_taken_out_of_a_request(party):
    """A verifier for a code that had no challenge is refused (RFC 9700, section 4.8.2)."""
    code = party.decide()["code"]
    assert party.redeem(code, code_verifier=pkce()[0]).json["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "invalid_client"),
    ],
)
def test_requests_for_tokens_that_make_no_sense(client, body, error):
    for sent in ({"data": body}, {"json": body}, {"query_string": body}):
        answer = client.post("/oauth/token", **sent)
        assert answer.json["error"] == error
        assert answer.json["error_description"]
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"code": {"a": 1}}', b'"x"', b"\xff"])
def test_damaged_json_is_a_bad_request(client, body):
    answer = client.post("/oauth/token", data=body, content_type="application/json")
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


def test_only_digests_of_codes_and_tokens_are_stored(party):
    code = party.decide()["code"]
    given = party.redeem(code).json
    with db.reading() as session:
        rows = [*session.scalars(select(AuthorizationCode)), *session.scalars(select(Token))]
        stored = json.dumps([vars(row) for row in rows], default=str)
    for secret in (code, given["access_token"], given["refresh_token"]):
        assert secret not in stored
        assert tokens.digest_of(secret) in stored


# Refresh tokens, revocation, removal


def test_refresh_tokens_rotate_and_a_stolen_one_ends_the_sign_in(party):
    first = party.sign_in()
    second = party.refresh(first["refresh_token"]).json
    assert second["refresh_token"] != first["refresh_token"]
    assert party.read("/oauth/userinfo", second["access_token"]).status_code == 200
    assert party.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    assert party.refresh(second["refresh_token"]).json["error"] == "invalid_grant"
    assert party.read("/oauth/userinfo", second["access_token"]).status_code == 401


def test_a_refreshed_id_token_keeps_the_time_of_the_sign_in(party):
    first = party.sign_in(nonce="n1")
    second = party.refresh(first["refresh_token"]).json
    old, new = (claims_in(party, answer["id_token"]) for answer in (first, second))
    assert (old["sub"], old["auth_time"], old["aud"]) == (new["sub"], new["auth_time"], new["aud"])


def test_a_refresh_may_ask_for_less_but_never_for_more(party):
    first = party.sign_in(scope="openid profile")
    assert party.refresh(first["refresh_token"], scope="openid email").json["error"] == "invalid_scope"
    narrow = party.refresh(first["refresh_token"], scope="profile").json
    assert narrow["scope"] == "profile"
    assert party.read("/oauth/userinfo", narrow["access_token"]).status_code == 403
    assert party.refresh(narrow["refresh_token"]).json["scope"] == "openid profile"


def test_refreshing_always_needs_the_secret(party):
    first = party.sign_in()
    assert party.refresh(first["refresh_token"], client_secret="").json["error"] == "invalid_client"


def test_tokens_end(party):
    given = party.sign_in()
    age(Token, hours=1, seconds=1)
    assert party.read("/oauth/userinfo", given["access_token"]).status_code == 401
    age(Token, days=60)
    assert party.refresh(given["refresh_token"]).json["error"] == "invalid_grant"


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_a_game_can_revoke_its_tokens(party, stored, which):
    given = party.sign_in()
    other = stored.game_with_credentials("Reef")[1]

    def revoke(credentials, token):
        form = {"client_id": credentials.client_id, "client_secret": credentials.client_secret, "token": token}
        return party.visitor.client.post("/oauth/revoke", data=form)

    assert revoke(other, given[which]).status_code == 200  # nothing is revealed, and nothing happens
    assert party.read("/users/me", given["access_token"]).status_code == 200
    assert revoke(party.credentials, "unknown").status_code == 200
    assert revoke(party.credentials, given[which]).status_code == 200
    assert party.read("/users/me", given["access_token"]).status_code == 401
    assert party.refresh(given["refresh_token"]).json["error"] == "invalid_grant"
    nobody = party.visitor.client.post("/oauth/revoke", data={"token": "x"})
    assert (nobody.status_code, nobody.json["error"]) == (401, "invalid_client")


def test_a_player_removes_a_game_and_its_tokens_die(party):
    given = party.sign_in()
    page = party.visitor.open("/account/connected")
    assert "Midnight Harbour" in page
    assert "last used" in page
    with db.reading() as session:
        grant_id = session.scalars(select(Grant.id)).one()
    party.visitor.send(f"/account/connected/{grant_id}/remove", form_on="/account/connected")
    assert party.read("/users/me", given["access_token"]).status_code == 401
    assert party.refresh(given["refresh_token"]).json["error"] == "invalid_grant"
    assert "No game is connected" in party.visitor.open("/account/connected")
    assert party.ask().status_code == 200


def test_nobody_removes_the_game_of_somebody_else(party, stored, new_visitor):
    party.sign_in()
    stored.user("Odo")
    stranger = new_visitor().sign_in("Odo")
    assert "No game is connected" in stranger.open("/account/connected")
    assert stranger.send("/account/connected/1/remove", form_on="/account").status_code == 404


def test_a_new_password_or_a_new_secret_revokes_all_tokens(party, player, game):
    given = party.sign_in()
    with db.transaction() as session:
        actor = actors.of_user(session, player.id)
        accounts.change_password(session, actor, current=PASSWORD, new="another long password")
    assert party.read("/users/me", given["access_token"]).status_code == 401
    party.visitor.sign_in("Wren", "another long password")
    given = party.sign_in(prompt="consent")
    with db.transaction() as session:
        party.credentials = games.regenerate_credentials(session, OPERATOR, short_name=game.short_name)
    assert party.read("/users/me", given["access_token"]).status_code == 401
    party.sign_in(prompt="consent")


def test_deleting_the_account_or_the_game_deletes_what_they_agreed_on(party, player, game):
    party.sign_in()
    with db.transaction() as session:
        games.delete_game(session, OPERATOR, short_name=game.short_name)
    with db.reading() as session:
        assert session.scalars(select(Grant)).all() == session.scalars(select(Token)).all() == []


# Who somebody is


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer nonsense", "Basic eDp5", "Bearer \x7f"])
def test_without_a_valid_token_nothing_is_told(client, header):
    headers = {} if header is None else {"Authorization": header}
    for path in ("/users/me", "/oauth/userinfo"):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json["error"] == "invalid_token"


def test_a_token_tells_only_what_its_scopes_name(party):
    given = party.sign_in(scope="openid")
    assert party.read("/oauth/userinfo", given["access_token"]).json.keys() == {"sub"}
    assert party.read("/users/me", given["access_token"]).status_code == 401
    given = party.sign_in(scope="profile", prompt="consent")
    assert "id_token" not in given
    assert party.read("/oauth/userinfo", given["access_token"]).status_code == 403
    assert list(party.read("/users/me", given["access_token"]).json) == ["uid", "username"]


def test_games_that_want_private_ids_cannot_compare_their_players(party, stored, player, game):
    other, credentials = stored.game_with_credentials("Reef")
    for each in (game, other):
        set_up(each, has_private_ids=True)
    reef = RelyingParty(party.visitor, credentials)
    ids = set()
    for each in (party, reef):
        given = each.sign_in()
        sub = claims_in(each, given["id_token"])["sub"]
        assert each.read("/oauth/userinfo", given["access_token"]).json["sub"] == sub
        assert each.read("/users/me", given["access_token"]).json["uid"] == sub
        assert claims_in(each, each.sign_in(prompt="consent")["id_token"])["sub"] == sub
        ids.add(sub)
    assert len(ids) == 2
    assert player.uid not in ids


# Keys and discovery


def test_discovery_describes_what_works(client, settings):
    documents = [
        client.get(f"/.well-known/{name}").json for name in ("openid-configuration", "oauth-authorization-server")
    ]
    assert documents[0] == documents[1]
    described = documents[0]
    assert described["issuer"] == settings.public_url
    for name, address in described.items():
        if name.endswith("_endpoint") or name == "jwks_uri":
            assert client.get(address.removeprefix(settings.public_url)).status_code in (200, 302, 400, 401, 405)
    assert described["code_challenge_methods_supported"] == ["S256"]
    assert described["response_types_supported"] == ["code"]
    assert client.get("/oauth/jwks.json").headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_rotated_keys_still_verify_and_the_new_one_signs(party, game, settings, algorithm):
    set_up(game, id_token_algorithm=algorithm)
    old = party.sign_in()["id_token"]
    with db.transaction() as session:
        keys.rotate(session, OPERATOR, secrets=settings.signing_keys)
    new = party.sign_in(prompt="consent")["id_token"]

    def header(token):
        return json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))

    assert header(old)["kid"] != header(new)["kid"]
    assert header(old)["alg"] == header(new)["alg"] == algorithm
    assert claims_in(party, old)["sub"] == claims_in(party, new)["sub"]


def test_private_keys_are_encrypted_and_a_lost_secret_only_costs_a_new_key(party, settings):
    party.sign_in()
    with db.transaction() as session:
        (row,) = session.scalars(select(SigningKey))
        assert "ENCRYPTED" in row.private_pem
        assert not {"d", "p", "q"} & row.public_jwk.keys()
        again = keys.signing_key(session, "RS256", secrets=["another", *settings.signing_keys])
        assert again.kid == row.kid
        assert keys.signing_key(session, "RS256", secrets=["lost"]).kid != row.kid
        assert len(keys.public_keys(session)) == 2


# Signing out


def test_a_game_signs_its_player_out_here_after_asking_them(party, game):
    set_up(game, logout_uris=["https://harbour.example/bye"])
    id_token = party.sign_in()["id_token"]
    parameters = {"id_token_hint": id_token, "post_logout_redirect_uri": "https://harbour.example/bye", "state": "s2"}
    page = party.visitor.client.get("/oauth/logout", query_string=parameters)
    assert "Sign out here too?" in page.get_data(as_text=True)
    address = page.request.full_path.replace("/oauth/logout?", "/oauth/logout/confirm?")
    answer = party.visitor.send(address, form_on=page.request.full_path)
    assert answer.location == "https://harbour.example/bye?state=s2"
    assert party.ask().location.startswith("/sign-in?")
    gone = party.visitor.client.get("/oauth/logout", query_string=parameters)
    assert gone.location == "https://harbour.example/bye?state=s2"


@pytest.mark.parametrize(
    "parameters",
    [
        {"post_logout_redirect_uri": "https://harbour.example/bye"},
        {"post_logout_redirect_uri": "https://evil.example/", "client_id": "{client_id}"},
        {"id_token_hint": "eyJhbGciOiJub25lIn0.e30."},
        {"id_token_hint": "{id_token}", "client_id": "another"},
    ],
)
def test_signing_out_leads_nowhere_that_is_not_registered(party, game, parameters):
    set_up(game, logout_uris=["https://harbour.example/bye"])
    known = {"client_id": party.credentials.client_id, "id_token": party.sign_in()["id_token"]}
    sent = {name: value.format(**known) for name, value in parameters.items()}
    answer = party.visitor.client.get("/oauth/logout", query_string=sent)
    assert answer.status_code == 400
    assert "request has a fault" in answer.get_data(as_text=True)


# Applications


def test_an_application_needs_the_scope_and_always_its_secret(party, stored, new_visitor, visitor):
    application, credentials = stored.application_with_credentials("Forum", scopes=["identity"])
    stored.admin("keeper")
    admin = new_visitor().sign_in("keeper")
    admin.send("/admin/applications/Forum/sign-in", redirect_uris=CALLBACK, id_token_algorithm="RS256")
    assert admin.status == 303
    forum = RelyingParty(party.visitor, credentials)
    assert forum.redeem(forum.decide()["code"], secret=None).json["error"] == "invalid_client"
    assert "id_token" in forum.sign_in(prompt="consent")
    assert application.name in party.visitor.open("/account/connected")
    admin.send("/admin/applications/Forum/scopes", form_on="/admin/applications/Forum")
    assert forum.ask().status_code == 400


# The owner's page


def test_an_owner_sets_up_signing_in(stored, new_visitor):
    owner = stored.user("keeper")
    stored.game("Harbour", owner=owner)
    visitor = new_visitor().sign_in("keeper")
    path = "/manage/games/Harbour/sign-in"
    visitor.send(path, redirect_uris="http://harbour.example/cb", id_token_algorithm="RS256")
    assert visitor.status == 422
    assert "must begin with https://" in visitor.page
    visitor.send(path, redirect_uris=f"{CALLBACK}\r\n{LOOPBACK}", id_token_algorithm="ES256", requires_secret="y")
    assert visitor.status == 303
    page = visitor.open(path)
    assert CALLBACK in page
    assert LOOPBACK in page
    with db.reading() as session:
        game = games.get_game(session, "Harbour")
        assert (game.redirect_uris, game.requires_secret) == ([CALLBACK, LOOPBACK], True)


@pytest.mark.parametrize(
    "uri",
    [
        "harbour.example/cb",
        "https://harbour.example",
        "https://user@harbour.example/cb",
        "https://harbour.example/cb?x=1",
        "https://harbour.example/cb#x",
        "https://harbour.example/cb?",
        "https://*.harbour.example/cb",
        "https://harbour.example/ü",
        "http://192.168.0.1/cb",
        "javascript:alert(1)",
        "https://[::1/cb",
        "https://harbour.example:port/cb",
        "https://harbour.example/" + "a" * 500,
    ],
)
def test_addresses_that_cannot_be_registered(stored, new_visitor, uri):
    stored.game("Harbour", owner=stored.user("keeper"))
    visitor = new_visitor().sign_in("keeper")
    visitor.send("/manage/games/Harbour/sign-in", redirect_uris=uri, id_token_algorithm="RS256")
    assert visitor.status == 422
    assert visitor.problem_of("redirect_uris")
