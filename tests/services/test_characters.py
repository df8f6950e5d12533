"""Characters: claimed with a key that works once, one per name and game."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event, func, select

from shared import db
from shared.db import utc_now
from shared.errors import Conflict, NotFound
from shared.models import Character, CharacterSighting, User
from shared.services import accounts, characters, games, profiles
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from tests.support.racing import Racer, wait_until_blocked


@pytest.fixture
def user(make):
    return make.user("wren")


@pytest.fixture
def game(make):
    return make.game("Harbour")


def claim(session, user, game, name="Wren", *, approve=False):
    character = characters.register_character(session, game_id=game.id, name=name, key=user.registration_key)
    if approve:
        characters.approve_character(session, actors.of_user(session, user.id), character_id=character.id)
    return character


@pytest.mark.usefixtures("any_database")
def test_a_claim_is_pending_and_uses_up_the_key(session, user, game):
    """The old key registers nothing more."""
    key = user.registration_key
    character = claim(session, user, game)
    session.commit()
    assert (character.state, character.user_id, character.name) == ("pending", user.id, "Wren")
    assert user.registration_key != key
    with pytest.raises(characters.UnknownKey):
        characters.register_character(session, game_id=game.id, name="Another", key=key)


@pytest.mark.usefixtures("any_database")
def test_a_failure_leaves_the_key_valid(make, session, user, game):
    """Each failure has its own error, and nothing is registered."""
    other, closed = make.user("other"), make.game("Closed", allows_character_registration=False)
    claim(session, user, game, "Pending")
    claim(session, user, game, "Approved", approve=True)
    claim(session, other, game, "Theirs")
    key = user.registration_key
    session.commit()

    for fault, game_id, name, words in (
        (characters.RegistrationClosed, closed.id, "New", "does not let players register"),
        (characters.RegistrationClosed, 999, "New", "does not let players register"),
        (characters.CharacterTaken, game.id, "PENDING", "already waiting for you"),
        (characters.CharacterTaken, game.id, "approved", "already registered to you"),
        (characters.CharacterTaken, game.id, "theirs", "registered to another player"),
    ):
        with pytest.raises(fault, match=words):
            characters.register_character(session, game_id=game_id, name=name, key=key)
    with pytest.raises(characters.UnknownKey):
        characters.register_character(session, game_id=game.id, name="New", key=user.uid)
    session.commit()
    assert user.registration_key == key
    assert session.scalar(select(func.count()).select_from(Character)) == 3
    assert claim(session, user, game, "New").state == "pending"


def test_an_account_may_have_a_limited_number_of_characters(session, user, game, monkeypatch):
    monkeypatch.setattr(characters, "CHARACTERS_PER_USER", 1)
    claim(session, user, game)
    key = user.registration_key
    with pytest.raises(Conflict, match="at most 1 characters"):
        claim(session, user, game, "Second")
    assert user.registration_key == key


@pytest.mark.usefixtures("any_database")
def test_a_denied_or_removed_character_frees_its_name(make, session, user, game):
    """Then anybody may claim it, even the same person."""
    other = make.user("other")
    characters.deny_character(session, actors.of_user(session, user.id), character_id=claim(session, user, game).id)
    session.flush()
    approved = claim(session, other, game, approve=True)
    characters.delete_character(session, actors.of_user(session, other.id), character_id=approved.id)
    session.flush()
    assert claim(session, user, game).user_id == user.id


def test_people_decide_only_on_their_own_characters(make, session, user, game):
    """Other people's are not found. An approved character can be removed, not denied."""
    character = claim(session, user, game)
    stranger = make.user("stranger")
    for act in (characters.approve_character, characters.deny_character, characters.delete_character):
        with pytest.raises(NotFound):
            act(session, actors.of_user(session, stranger.id), character_id=character.id)
        with pytest.raises(NotFound):
            act(session, actors.of_user(session, user.id), character_id=999)
    first = characters.approve_character(
        session, actors.of_user(session, user.id), character_id=character.id
    ).approved_at
    assert (
        characters.approve_character(session, actors.of_user(session, user.id), character_id=character.id).approved_at
        == first
    )
    with pytest.raises(Conflict):
        characters.deny_character(session, actors.of_user(session, user.id), character_id=character.id)


@pytest.mark.parametrize(
    "tell", ["register {}", "  REGISTER   {}  ", "Register\t<{}>", "register '{}'", "register {} please"]
)
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_register_tells_may_be_written_in_several_ways(session, user, game, tell, case):
    """In any case, with any spaces, and with brackets or quotes around the key."""
    text = case(tell.format(user.registration_key))
    assert characters.is_register_tell(text)
    answer = characters.answer_register_tell(session, game_id=game.id, name="Wren", text=text)
    assert answer.startswith("Wren waits for you now")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("register", True), ("Register me", True), ("", False), ("registered", False), ("please register", False)],
)
def test_what_a_register_tell_is(text, is_one):
    assert characters.is_register_tell(text) is is_one


@pytest.mark.usefixtures("any_database")
def test_every_refusal_is_a_sentence_and_changes_nothing(make, session, user, game):
    """The built-in peer answers in sentences, and the transaction can still be committed."""
    closed = make.game("Closed", allows_character_registration=False)
    claim(session, user, game, "Mine", approve=True)
    claim(session, make.user("other"), game, "Theirs")
    session.commit()
    key = user.registration_key
    answers = {
        characters.answer_register_tell(session, game_id=game_id, name=name, text=text)
        for game_id, name, text in (
            (game.id, "New", "register"),
            (game.id, "New", "register nonsense"),
            (closed.id, "New", f"register {key}"),
            (game.id, "Mine", f"register {key}"),
            (game.id, "Theirs", f"register {key}"),
        )
    }
    session.commit()
    assert len(answers) == 5
    assert all(answer[0].isupper() and answer.endswith(".") and len(answer) < 200 for answer in answers)
    session.refresh(user)
    assert user.registration_key == key


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize("names", [("Wren", "Wren"), ("Wren", "Robin")])
def test_two_tells_with_one_key_at_once_register_one_character(engine, stored, names):
    """The second waits for the first, and then finds the key gone."""
    user, game = stored.user(), stored.game()

    def tell(name):
        with db.transaction() as other:
            return characters.answer_register_tell(
                other, game_id=game.id, name=name, text=f"register {user.registration_key}"
            )

    with db.transaction() as session:
        characters.register_character(session, game_id=game.id, name=names[0], key=user.registration_key)
        session.flush()
        racer = Racer(lambda: tell(names[1]))
        wait_until_blocked(engine, racer)
    assert racer.join().startswith("Nobody has this registration key")
    with db.reading() as session:
        assert [character.name for character in session.scalars(select(Character))] == [names[0]]


@pytest.mark.usefixtures("any_database")
def test_two_people_who_claim_one_name_at_once(engine, stored):
    """One gets it; the other's key is still valid."""
    first, second, game = stored.user(), stored.user(), stored.game()

    def tell():
        with db.transaction() as other:
            return characters.answer_register_tell(
                other, game_id=game.id, name="WREN", text=f"register {second.registration_key}"
            )

    with db.transaction() as session:
        characters.register_character(session, game_id=game.id, name="Wren", key=first.registration_key)
        session.flush()
        racer = Racer(tell)
        wait_until_blocked(engine, racer)
    assert "registered to another player" in racer.join()
    with db.reading() as session:
        assert session.scalar(select(Character.user_id)) == first.id
        assert session.get(User, second.id).registration_key == second.registration_key


@pytest.mark.usefixtures("any_database")
def test_characters_go_with_their_game_and_their_account(make, session, user, game):
    """Their names are free again."""
    other = make.user("other")
    claim(session, user, game)
    claim(session, other, make.game("Ashfall", owner=other))
    session.commit()
    games.delete_game(session, OPERATOR, short_name="harbour")
    accounts.delete_account(session, actors.of_user(session, user.id), password=make.password)
    session.commit()
    assert [character.user_id for character in session.scalars(select(Character))] == [other.id]


def test_lists_show_pending_characters_first_and_only_approved_ones_to_others(make, session, user, game):
    hidden = make.user("hidden")
    claim(session, user, game, "Able", approve=True)
    claim(session, user, game, "Zoe")
    claim(session, hidden, game, "Ghost", approve=True)
    accounts.set_privacy(session, actors.of_user(session, hidden.id), is_profile_hidden=True, is_online_hidden=False)
    session.commit()
    assert [character.name for character in characters.list_characters_of(session, user.id)] == ["Zoe", "Able"]
    shown = characters.list_public_characters_of_game(session, game.id, limit=10)
    assert [character.name for character in shown] == ["Able"]


def test_the_mark_changes_with_what_the_page_shows(session, user, game):
    marks = []
    for act in (
        lambda: None,
        lambda: claim(session, user, game),
        lambda: characters.approve_character(session, actors.of_user(session, user.id), character_id=1),
        lambda: accounts.replace_registration_key(session, actors.of_user(session, user.id)),
        lambda: characters.delete_character(session, actors.of_user(session, user.id), character_id=1),
    ):
        act()
        session.flush()
        marks.append(characters.state_mark(user, characters.list_characters_of(session, user.id)))
    assert len(set(marks)) == len(marks)


@pytest.mark.usefixtures("any_database")
def test_sightings_are_stored_for_approved_characters_and_updated(make, session, user, game):
    now = utc_now().replace(microsecond=0)
    claim(session, user, game, "Able", approve=True)
    claim(session, user, game, "Zoe")
    online = [(game.id, ["ABLE", "Zoe", "Nobody"]), (make.game("Ashfall").id, ["Able"])]
    for at in (now - timedelta(minutes=1), now):
        assert characters.note_sightings(session, online, at=at) == 1
        session.commit()
    assert [character.seen_at for character in session.scalars(select(CharacterSighting))] == [now]


@pytest.mark.usefixtures("any_database")
def test_storing_sightings_takes_two_statements_however_many_games_are_online(make, engine, session, user, game):
    """Meanwhile nobody else can write on SQLite: a statement per game stopped a network of 5,000 for seconds."""
    names = [f"Player{number}" for number in range(20)]
    for name in names:
        claim(session, user, game, name, approve=True)
    online = [(game.id, names), *((make.game(owner=user).id, names) for _ in range(10))]
    session.commit()
    run = []
    event.listen(engine, "before_cursor_execute", lambda c, cu, statement, *rest: run.append(statement))
    for _ in range(2):
        run.clear()
        assert characters.note_sightings(session, online, at=utc_now()) == 20
        session.flush()
        assert len([statement for statement in run if not statement.startswith("BEGIN")]) == 2
        session.commit()


@pytest.mark.usefixtures("any_database")
def test_a_character_that_is_deleted_meanwhile_is_skipped(engine, stored):
    """The others' sightings are stored."""
    user, game = stored.user("wren"), stored.game("Harbour")
    with db.transaction() as session:
        user = accounts.get_account(session, user.id)
        going, staying = (claim(session, user, game, name, approve=True) for name in ("Going", "Staying"))
    with db.transaction() as session:
        characters.note_sightings(session, [(game.id, ["going"])], at=utc_now() - timedelta(minutes=1))

    def note():
        with db.transaction() as other:
            return characters.note_sightings(other, [(game.id, ["going", "staying"])], at=utc_now())

    with db.transaction() as session:
        characters.delete_character(session, actors.of_user(session, user.id), character_id=going.id)
        session.flush()
        racer = Racer(note)
        wait_until_blocked(engine, racer)
    assert racer.join() == 1
    with db.reading() as session:
        assert session.scalars(select(CharacterSighting.character_id)).all() == [staying.id]


def test_profiles_respect_privacy_settings(make, session, user, game):
    """For a stranger, the person, and staff."""
    stranger, staff = make.user("stranger"), make.admin("keeper")
    hidden_game = make.game("Secret", is_displayed=False)
    claim(session, user, game, "Able", approve=True)
    claim(session, user, hidden_game, "Spy", approve=True)
    claim(session, user, game, "Zoe")
    characters.note_sightings(session, [(game.id, ["Able"])], at=utc_now())
    online = frozenset({(f"game:{game.id}", "able")})
    session.commit()
    session.expire_all()

    def look(viewer):
        profile = profiles.get_profile(
            session, actors.of_user(session, viewer.id if viewer else None), username="WREN", online=online
        )
        return [
            (character.name, character.is_online, character.seen_at is not None) for character in profile.characters
        ]

    for viewer in (None, stranger):
        assert look(viewer) == [("Able", True, True)]
    assert [name for name, *_ in look(staff)] == [name for name, *_ in look(user)] == ["Able", "Spy"]

    accounts.set_privacy(session, actors.of_user(session, user.id), is_profile_hidden=False, is_online_hidden=True)
    assert look(stranger) == [("Able", False, False)]
    assert look(staff)[0] == ("Able", False, False)
    assert look(user)[0] == ("Able", True, True)

    accounts.set_privacy(session, actors.of_user(session, user.id), is_profile_hidden=True, is_online_hidden=False)
    for viewer in (None, stranger):
        with pytest.raises(NotFound):
            look(viewer)
    assert look(user) and look(staff)
