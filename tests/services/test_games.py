"""Games: registering, editing, credentials, owners and lists."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from shared import db, peer_keys
from shared.bus import take_announcements
from shared.errors import Conflict, DomainError, Invalid, InvalidCredentials, NameTaken, NotFound
from shared.models import Game, GameConnection
from shared.models.credentials import secret_digest
from shared.models.game_details import GameDetails
from shared.services import game_lists, games, short_names, versions
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from shared.signals import CredentialsRevoked
from tests.support.credentials import authenticate_peer
from tests.support.factory import edit_game
from tests.support.racing import Racer, wait_until_blocked


@pytest.fixture
def owner(make):
    return make.user("wren")


def create(session, owner, **fields):
    fields = {"name": "The Tea House", "short_name": "Tea", **fields}
    return games.create_game(
        session, actors.of_user(session, owner.id), owner_id=owner.id, details=GameDetails(**fields)
    )[0]


def test_a_new_game_is_stored_cleaned(session, owner):
    game, credentials = games.create_game(
        session,
        actors.of_user(session, owner.id),
        owner_id=owner.id,
        details=GameDetails(
            name="  Café Zoë ",
            short_name=" Cafe7 ",
            description=" one\r\ntwo ",
            homepage_url=" https://cafe.example.com/a?b ",
            is_displayed=False,
            allows_character_registration=False,
        ),
    )
    assert (game.name, game.short_name, game.description) == ("Café Zoë", "Cafe7", "one\ntwo")
    assert game.homepage_url == "https://cafe.example.com/a?b"
    assert (game.is_displayed, game.allows_character_registration, game.redirect_uris) == (False, False, [])
    assert game.client_id == credentials.client_id == credentials.client_id.lower()
    assert game.client_secret_digest == secret_digest(credentials.client_secret)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "nul\0"}, "name"),
        ({"name": "over\u202eride"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": None}, "name"),
        ({"short_name": ""}, "short_name"),
        ({"short_name": "x" * 16}, "short_name"),
        ({"short_name": "two words"}, "short_name"),
        ({"short_name": "Tée"}, "short_name"),
        ({"short_name": "a-b"}, "short_name"),
        ({"short_name": "a\0"}, "short_name"),
        *(({"short_name": name}, "short_name") for name in ("gossip", "GRAPEVINE", "Raisin", "system")),
        ({"description": "x" * 5001}, "description"),
        ({"description": "nul\0"}, "description"),
        ({"description": "\udfff"}, "description"),
        *(
            ({"homepage_url": url}, "homepage_url")
            for url in (
                "example.com",
                "ftp://example.com",
                "http://localhost",
                "http://",
                "http://.",
                "https://a b.com",
                "https://exa mple.com/",
                "javascript:alert(1)",
                "http://example.com:99999",
                "http://example.com/" + "x" * 500,
                "http://[::1",
                "http://ex\0ample.com",
            )
        ),
    ],
)
@pytest.mark.parametrize("how", ["create", "update"])
def test_bad_fields_are_refused_with_their_name(session, owner, fields, field, how):
    game = create(session, owner, name="Other", short_name="Other") if how == "update" else None
    with pytest.raises(Invalid) as refused:
        if game is None:
            create(session, owner, **fields)
        else:
            edit_game(session, "Other", actor=actors.of_user(session, owner.id), **fields)
    assert refused.value.field == field


def test_an_unknown_owner_is_refused(session):
    with pytest.raises(NotFound):
        games.create_game(session, OPERATOR, owner_id=999, details=GameDetails(name="X", short_name="X"))


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Tea House", "tea HOUSE"),
        ("Zoë's MUD", "ZOË'S mud"),
        ("Straße", "STRASSE"),
        ("ЛЕС", "лес"),
        ("Ａｂｃ", "abc"),  # full width
        ("Cafe\u0301", "Café"),
        ("İstanbul", "i̇stanbul"),
    ],
)
def test_names_are_unique_without_case_beyond_ascii_too(session, owner, first, second):
    create(session, owner, name=first, short_name="One")
    other = create(session, owner, name="Other", short_name="Two")
    with pytest.raises(NameTaken) as taken:
        create(session, owner, name=second, short_name="Three")
    assert taken.value.field == "name"
    with pytest.raises(NameTaken) as taken:
        edit_game(session, "Two", actor=actors.of_user(session, owner.id), name=second)
    assert taken.value.field == "name"
    assert other.name == "Other"
    assert edit_game(session, "One", actor=actors.of_user(session, owner.id), name=second).name


@pytest.mark.usefixtures("any_database")
def test_short_names_are_unique_without_case(session, owner):
    create(session, owner)
    with pytest.raises(NameTaken) as taken:
        create(session, owner, name="Another", short_name="tEA")
    assert taken.value.field == "short_name"
    create(session, owner, name="Another", short_name="Coffee")
    with pytest.raises(NameTaken) as taken:
        edit_game(session, "Coffee", actor=actors.of_user(session, owner.id), short_name="TEA")
    assert taken.value.field == "short_name"
    assert edit_game(session, "TEA", actor=actors.of_user(session, owner.id), short_name="tea").short_name == "tea"


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize(
    ("second", "field"),
    [
        ({"name": "the TEA house", "short_name": "Other"}, "name"),
        ({"name": "Other", "short_name": "TEA"}, "short_name"),
    ],
    ids=["name", "short-name"],
)
def test_a_lost_race_to_register_is_a_name_taken(engine, stored, monkeypatch, second, field):
    """Both checked before one committed: the constraint decides, and tells which name it was."""
    owner = stored.user()
    monkeypatch.setattr(games, "_require_free_name", lambda session, name_key, except_id: None)
    monkeypatch.setattr(short_names, "is_reserved", lambda session, short_name: False)

    def lose():
        with db.transaction() as other:
            create(other, owner, **second)

    with db.transaction() as session:
        create(session, owner)
        racer = Racer(lose)
        wait_until_blocked(engine, racer)
    with pytest.raises(NameTaken) as taken:
        racer.join()
    assert taken.value.field == field
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Game)) == 1
        assert versions.last_cursor(session) == 1


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "The Goal"}, "name"),
        ({"short_name": "Goal"}, "short_name"),
        ({"name": "The Goal", "short_name": "Other"}, "name"),
    ],
    ids=["name", "short-name", "both"],
)
def test_a_lost_race_to_rename_is_a_name_taken(engine, stored, monkeypatch, change, field):
    owner = stored.user()
    stored.game("Second", owner=owner)
    monkeypatch.setattr(games, "_require_free_name", lambda session, name_key, except_id: None)
    if engine.dialect.name == "sqlite":
        # One writer at a time: without its look, the second finds out by the constraint as it would on PostgreSQL.
        monkeypatch.setattr(short_names, "reserve", _reserve_blindly)

    def lose():
        with db.transaction() as other:
            edit_game(other, "Second", actor=actors.of_user(other, owner.id), **change)

    with db.transaction() as session:
        create(session, owner, name="the goal", short_name="goal")
        racer = Racer(lose)
        wait_until_blocked(engine, racer)
    with pytest.raises(NameTaken) as taken:
        racer.join()
    assert taken.value.field == field
    with db.reading() as session:
        assert games.get_game(session, "second").name == "The Second"


def _reserve_blindly(session, short_name, *, game_id=None, application_id=None):
    """Reserve without checking, as in a lost race."""


@pytest.mark.usefixtures("any_database")
def test_editing_a_game_that_is_deleted_meanwhile_is_a_domain_error(engine, stored):
    """The slower one gets an error message, not a crash."""
    game = stored.game("Tea")
    way = stored.connection(game)

    def lose(change):
        def run():
            with db.transaction() as other:
                change(other)

        return run

    changes = [
        lambda s: edit_game(s, "Tea", name="Another name"),
        lambda s: games.update_connection(s, OPERATOR, connection_id=way.id, type="telnet", host="b.example", port=7),
        lambda s: games.add_connection(s, OPERATOR, short_name="Tea", type="telnet", host="c.example", port=7),
        lambda s: games.regenerate_credentials(s, OPERATOR, short_name="Tea"),
    ]
    with db.transaction() as session:
        games.delete_game(session, OPERATOR, short_name="Tea")
        racers = [Racer(lose(change)) for change in changes]
        for racer in racers:
            wait_until_blocked(engine, racer)
    for racer in racers:
        with pytest.raises(DomainError):
            racer.join()
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(GameConnection)) == 0
        assert [change.record for change in versions.since(session, 2)] == [None]


@pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning")
@pytest.mark.usefixtures("any_database")
def test_two_transactions_may_delete_a_game_at_once(engine, stored):
    """At most one of them fails because the game is gone. The log has one delete."""
    stored.game("Tea")

    def second():
        with db.transaction() as other:
            games.delete_game(other, OPERATOR, short_name="Tea")

    with db.transaction() as session:
        games.delete_game(session, OPERATOR, short_name="Tea")
        racer = Racer(second)
        wait_until_blocked(engine, racer)
    try:
        racer.join()
    except DomainError:
        pass
    with db.reading() as session:
        assert [change.record for change in versions.since(session, 1)] == [None]


@pytest.mark.usefixtures("any_database")
def test_ids_are_never_reused(session, owner):
    """Not even the newest one."""
    game = create(session, owner)
    session.commit()
    games.delete_game(session, actors.of_user(session, owner.id), short_name="Tea")
    session.commit()
    assert create(session, owner, short_name="Tea2").id > game.id


def test_an_owner_may_have_a_limited_number_of_games(make, session, owner, monkeypatch):
    monkeypatch.setattr(games, "GAMES_PER_OWNER", 2)
    admin = make.admin()
    for number in range(2):
        create(session, owner, name=f"Game {number}", short_name=f"G{number}")
    with pytest.raises(Conflict):
        create(session, owner)
    games.create_game(
        session,
        actors.of_user(session, admin.id),
        owner_id=owner.id,
        details=GameDetails(name="By an admin", short_name="Admins"),
    )
    games.create_game(
        session, OPERATOR, owner_id=owner.id, details=GameDetails(name="By the operator", short_name="Operators")
    )


def test_an_edit_changes_only_the_given_fields(session, owner):
    create(session, owner, description="Old", homepage_url="https://old.example.com")
    game = edit_game(session, "tea", actor=actors.of_user(session, owner.id), description="New")
    assert (game.description, game.homepage_url, game.name) == ("New", "https://old.example.com", "The Tea House")
    game = edit_game(session, "TEA", actor=actors.of_user(session, owner.id), description="", homepage_url=" ")
    assert (game.description, game.homepage_url) == (None, None)
    game = edit_game(
        session, "Tea", actor=actors.of_user(session, owner.id), is_displayed=False, allows_character_registration=False
    )
    assert (game.is_displayed, game.allows_character_registration) == (False, False)


def test_strangers_cannot_change_a_game(make, session, owner):
    """They cannot tell that it exists; an admin may do everything."""
    game = create(session, owner)
    way = games.add_connection(
        session, actors.of_user(session, owner.id), short_name="Tea", type="web", url="https://tea.example.com"
    )
    stranger, moderator, admin = make.user(), make.user(role="moderator"), make.admin()
    session.commit()
    for actor in (stranger, moderator):
        for forbidden in (
            lambda a=actor.id: edit_game(session, "Tea", actor=actors.of_user(session, a), name="Mine"),
            lambda a=actor.id: games.regenerate_credentials(session, actors.of_user(session, a), short_name="Tea"),
            lambda a=actor.id: games.delete_game(session, actors.of_user(session, a), short_name="Tea"),
            lambda a=actor.id: games.add_connection(
                session, actors.of_user(session, a), short_name="Tea", type="web", url="https://a.bc"
            ),
            lambda a=actor.id: games.update_connection(
                session, actors.of_user(session, a), connection_id=way.id, type="web", url="https://a.bc"
            ),
            lambda a=actor.id: games.delete_connection(session, actors.of_user(session, a), connection_id=way.id),
        ):
            with pytest.raises(NotFound):
                forbidden()
    assert not session.dirty and not session.deleted
    assert edit_game(session, "Tea", actor=actors.of_user(session, admin.id), name="Theirs") is game


def test_regenerating_ends_the_old_credentials_and_is_announced(make, session):
    game, old = make.game_with_credentials("Tea")
    session.commit()
    take_announcements(session)
    cursor = versions.last_cursor(session)
    new = games.regenerate_credentials(session, OPERATOR, short_name="Tea")
    session.commit()
    assert take_announcements(session) == [CredentialsRevoked(peer_keys.of_game(game.id))]
    assert versions.last_cursor(session) == cursor
    with pytest.raises(InvalidCredentials):
        authenticate_peer(session, client_id=old.client_id, client_secret=old.client_secret)
    assert authenticate_peer(session, client_id=new.client_id, client_secret=new.client_secret).id == game.id


def test_deleting_a_game_deletes_its_ways_to_connect(make, session):
    game = make.game("Tea")
    make.connection(game)
    session.commit()
    take_announcements(session)
    games.delete_game(session, OPERATOR, short_name="TEA")
    session.commit()
    assert session.scalar(select(func.count()).select_from(GameConnection)) == 0
    assert CredentialsRevoked(peer_keys.of_game(game.id)) in take_announcements(session)


def test_only_the_owner_and_staff_see_hidden_games(make, session, owner):
    create(session, owner, is_displayed=False)
    stranger, moderator, admin = make.user(), make.user(role="moderator"), make.admin()
    for viewer in (owner, moderator, admin):
        assert games.get_public_game(session, actors.of_user(session, viewer.id), short_name="tea")
    for viewer_id in (None, stranger.id, 999_999):
        with pytest.raises(NotFound):
            games.get_public_game(session, actors.of_user(session, viewer_id), short_name="tea")
    assert game_lists.read_public_games(session).ids == ()
    assert len(games.list_games_of(session, owner.id)) == 1


@pytest.mark.usefixtures("any_database")
def test_games_are_listed_by_name_and_found_by_part(session, owner):
    create(session, owner, name="zebra", short_name="Z1", description="Stripes.")
    create(session, owner, name="Ärger", short_name="A1")
    create(session, owner, name="alba", short_name="B1", description="100% white")

    def names_of_games(search):
        criteria = game_lists.Criteria(search=search)
        ids = game_lists.find_public_games(session, criteria)
        return [game.short_name for game in game_lists.list_cards(session, ids)]

    assert names_of_games("") == ["B1", "Z1", "A1"]
    assert names_of_games("STRIPES") == names_of_games("z1") == names_of_games("ZEB") == ["Z1"]
    assert names_of_games("äRG") == ["A1"]
    assert names_of_games("100%") == names_of_games("%") == ["B1"]
    assert names_of_games("_") == names_of_games("nothing") == []
