"""What people take along: everything about them and their games, and nothing about others.

Every table of the database must be decided on here, and every column of those that an export contains.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from datetime import timedelta

import pytest

from shared import peer_keys
from shared.db import Base, utc_now
from shared.errors import Forbidden, NotFound
from shared.models import (
    Appeal,
    AuditEntry,
    Character,
    CharacterSighting,
    ChatReading,
    CheckCount,
    Ignore,
    Message,
    PlayerCount,
    TellCount,
)
from shared.services import accounts
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR, VISITOR
from shared.services.exports import game as game_export
from shared.services.exports import person
from shared.services.moderation import claims, reports, sanctions
from tests.support.moderating import mute

pytestmark = pytest.mark.usefixtures("any_database")

NOT_ABOUT_A_PERSON = {
    "applications": "have no owner",
    "channel_states": "what moderators decided about channels",
    "connection_checks": "in the game's export",
    "counters": "numbers",
    "daily_player_counts": "in the game's export",
    "ended_sessions": "random numbers, which no account refers to",
    "filters": "name the moderator; the act is in the audit trail",
    "game_connections": "in the game's export",
    "game_facts": "in the game's export",
    "game_play": "in the game's export",
    "jobs": "the network's own",
    "moderation_heads": "the end of the audit trail",
    "play_ways": "in the game's export",
    "oauth_codes": "live for a minute",
    "oauth_keys": "the network's own",
    "oauth_tokens": "digests of secrets; the connected games have the rest",
    "player_counts": "in the game's export",
    "reason_presets": "name the admin; the act is in the audit trail",
    "reserved_short_names": "in the game's export",
    "reserved_usernames": "names of deleted accounts, which nobody can ask for",
    "safeguard_settings": "the network's own",
    "staff_notes": "moderators' notes for each other, in confidence",
    "tell_counts": "in the game's export",
    "user_agents": "software",
    "versions": "public records of games and channels; the game's export has them",
}
NOT_ABOUT_A_GAME = {
    "appeals": "a person's",
    "application_requests": "a person's",
    "applications": "other peers",
    "audit_entries": "a person's, or the staff's",
    "channels": "shared by all games",
    "channel_states": "shared by all games",
    "character_sightings": "a person's",
    "characters": "a person's",
    "chat_readings": "a person's",
    "check_counts": "an owner's, for all of their games",
    "counters": "numbers",
    "ended_sessions": "a person's",
    "favourite_games": "a person's",
    "filters": "the network's own",
    "ignores": "a person's",
    "jobs": "the network's own",
    "moderation_heads": "the network's own",
    "profile_links": "a person's",
    "oauth_codes": "live for a minute",
    "oauth_grants": "a person's",
    "oauth_keys": "the network's own",
    "oauth_tokens": "a person's",
    "reason_presets": "the network's own",
    "reserved_usernames": "the network's own",
    "safeguard_settings": "the network's own",
    "staff_notes": "moderators' notes for each other, in confidence",
    "user_agents": "software; the game's file names it",
    "users": "a person's",
}


def read(archive: bytes) -> dict[str, list[dict]]:
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        assert files.testzip() is None
        return {
            name.removesuffix(".json"): json.loads(files.read(name))
            for name in files.namelist()
            if name.endswith(".json")
        }


def export_person(session, user) -> bytes:
    session.flush()
    file = io.BytesIO()
    person.export_person(session, actors.of_user(session, user.id), file, now=utc_now())
    return file.getvalue()


def export_game(session, user, game) -> bytes:
    session.flush()
    file = io.BytesIO()
    actor = actors.of_user(session, user.id)
    game_export.export_game(session, actor, file, short_name=game.short_name, now=utc_now())
    return file.getvalue()


def say(session, number: int, channel, peer: str, name: str, text: str) -> Message:
    message = Message(
        id=number, channel_id=channel.id, peer=peer, game="X", name=name, text=text, worker="w", sent_at=utc_now()
    )
    session.add(message)
    session.flush()
    return message


@pytest.mark.parametrize("decided", [NOT_ABOUT_A_PERSON, NOT_ABOUT_A_GAME], ids=["person", "game"])
def test_every_table_is_decided_on(make, session, decided):
    """A new table is either a part of the export, or listed above with the reason why it is not."""
    user = make.user()
    parts = person.parts_of(session, user) if decided is NOT_ABOUT_A_PERSON else game_export.parts_of(make.game())
    exported = {part.table.name for part in parts}
    assert exported | decided.keys() == Base.metadata.tables.keys()
    assert exported & decided.keys() == set()


def test_every_reference_to_a_person_is_exported(make, session):
    """No table with a foreign key to accounts is left out of a person's export."""
    parts = person.parts_of(session, make.user())
    referring = {
        table.name
        for table in Base.metadata.tables.values()
        if any(key.column.table.name == "users" for key in table.foreign_keys)
    }
    assert referring - {part.table.name for part in parts} == set()


def test_columns_that_are_left_out_exist_and_have_a_reason(make, session):
    for part in [*person.parts_of(session, make.user()), *game_export.parts_of(make.game())]:
        assert part.left_out.keys() <= set(part.table.columns.keys()), part.name
        assert all(part.left_out.values())


def test_columns_that_sound_secret_are_left_out(make, session):
    """A new column whose name sounds like a secret is left out, or listed here because it is none."""
    sounds_secret = re.compile("hash|digest|token|secret|password|key")
    exported = {
        column.name
        for part in [*person.parts_of(session, make.user()), *game_export.parts_of(make.game())]
        for column in part.columns()
        if sounds_secret.search(column.name)
    }
    assert exported == {
        "address_key",  # a spelling of the address
        "description_key",  # a spelling of the description, like the other keys
        "id_token_algorithm",  # its name, like the next one
        "requires_secret",
        "hash",  # of the audit trail, like the next one
        "key",  # what a report is about, and a reserved name
        "name_key",
        "player_key",
        "previous_hash",
        "proof_token",  # which the game shows to everybody
    }


def test_a_person_gets_everything_about_them(make, session):
    alice, bob = make.user("Alice", email="alice@example.com"), make.user("Bob")
    harbour, channel = make.game("Harbour", owner=alice), make.channel("gossip", proposed_by_id=alice.id)
    wren = Character(user_id=alice.id, game_id=harbour.id, name="Wrén", name_key="wrén", state="approved")
    session.add(wren)
    session.flush()
    session.add_all(
        [
            CharacterSighting(character_id=wren.id, seen_at=utc_now()),
            ChatReading(user_id=alice.id, channel_id=channel.id, message_id=2),
            CheckCount(owner_id=alice.id, port_class="telnet", since=utc_now(), checks=2),
            Ignore(user_id=alice.id, person_id=bob.id),
        ]
    )
    say(session, 1, channel, "grapevine", "Alice", "from the browser ☺")
    say(session, 2, channel, peer_keys.of_game(harbour.id), "WRÉN", "from the game")
    say(session, 3, channel, peer_keys.of_game(harbour.id), "Other", "somebody else")
    sanction = mute(session, OPERATOR, "Wrén@Harbour")
    session.add(Appeal(sanction_id=sanction.id, user_id=alice.id, username="Alice", text="please"))
    reports.create_report(session, actors.of_user(session, alice.id), game="Harbour", name="Other", text="rude")
    session.commit()

    files = read(export_person(session, alice))

    assert files["account"][0]["email"] == "alice@example.com"
    assert [line["text"] for line in files["messages"]] == ["from the browser ☺", "from the game"]
    assert files["messages"][0]["channel"] == "gossip"
    assert [character["game"] for character in files["characters"]] == ["Harbour"]
    assert files["games"][0]["short_name"] == "Harbour"
    assert files["ignores"][0]["person"] == "Bob"
    assert files["channels"][0]["name"] == "gossip"
    assert files["sanctions"][0]["target"] == "Wrén@Harbour"
    assert files["appeals"][0]["text"] == "please"
    assert files["reports"][0]["text"] == "rude"
    assert files["reported"][0]["name"] == "Other"
    for name in ("character_sightings", "chat_readings", "check_counts"):
        assert len(files[name]) == 1, name


def test_an_export_has_no_secrets_and_says_so(make, session):
    alice = make.user("Alice")
    game, credentials = make.game_with_credentials("Harbour", owner=alice)
    for archive, secrets in (
        (export_person(session, alice), (alice.password_hash, alice.session_token, alice.registration_key)),
        (export_game(session, alice, game), (game.client_secret_digest, credentials.client_secret)),
    ):
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            content = "".join(files.read(name).decode() for name in files.namelist())
            readme = files.read("README.txt").decode()
        assert not [secret for secret in (*secrets, game.client_secret_digest) if secret in content]
        assert "(a secret)" in readme


def test_what_the_staff_does_names_nobody(make, session):
    """A person learns what was decided about them, and never who reported or decided; staff gets its own acts."""
    alice, moderator = make.user("Alice"), make.user("Mod", role="moderator")
    alice_id = alice.id
    actor = actors.of_user(session, moderator.id)
    sanction = mute(session, actor, "Alice@Grapevine")
    session.commit()
    sanctions.lift(session, actor, sanction_id=sanction.id, reason="over")
    session.commit()
    reports.create_report(session, actor, game="Grapevine", name="Alice", text="secretly")
    session.commit()

    archive = export_person(session, alice)
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        content = "".join(files.read(name).decode() for name in files.namelist())
    assert "Mod" not in content
    assert "secretly" not in content
    own = read(export_person(session, moderator))["audit_own_acts"]
    assert [entry["act"] for entry in own] == ["sanction", "lift"]
    assert "Alice" not in json.dumps(own)
    assert session.query(AuditEntry).filter_by(target_id=f"user:{alice_id}").count() == len(
        read(archive)["audit_about_you"]
    )


def test_an_owner_gets_everything_about_a_game(make, session):
    alice = make.user("Alice")
    game, channel = make.game("Harbour", owner=alice), make.channel("gossip")
    make.connection(game)
    peer = peer_keys.of_game(game.id)
    session.add_all(
        [
            PlayerCount(game_id=game.id, at=utc_now(), players=3),
            TellCount(day=utc_now().date() - timedelta(days=1), peer=peer, tells=2**40),
        ]
    )
    say(session, 1, channel, peer, "Other", "said there")
    say(session, 2, channel, "grapevine", "Alice", "said elsewhere")
    mute(session, OPERATOR, "Other@Harbour")
    session.commit()

    files = read(export_game(session, alice, game))

    assert files["game"][0]["short_name"] == "Harbour"
    assert [line["text"] for line in files["messages"]] == ["said there"]
    assert files["tell_counts"][0]["tells"] == 2**40
    assert files["versions"][0]["action"] == "created"
    assert files["sanctions"][0]["target"] == "Other@Harbour"
    for name in ("connections", "player_counts", "short_names"):
        assert len(files[name]) == 1, name


def test_only_owners_and_admins_export_a_game(make, session):
    game = make.game("Harbour")
    assert read(export_game(session, make.admin(), game))["game"]
    with pytest.raises(NotFound):
        export_game(session, make.user(), game)


def test_only_people_have_an_export(session):
    with pytest.raises(Forbidden):
        person.export_person(session, VISITOR, io.BytesIO(), now=utc_now())
    with pytest.raises(NotFound):
        accounts.get_account(session, 9)


def test_who_claimed_a_report_is_not_exported(make, session):
    """The person and the game that reported learn the outcome, not which moderator works on it."""
    alice, moderator = make.user("Alice"), make.user("Mod", role="moderator")
    game = make.game("Harbour", owner=alice)
    for reporter in (actors.of_user(session, alice.id), actors.of_game(session, game.id)):
        report = reports.create_report(session, reporter, game="Harbour", name="Odo", text="rude")
    claims.claim(session, actors.of_user(session, moderator.id), report_id=report.id)
    session.flush()
    for archive in (export_person(session, alice), export_game(session, alice, game)):
        (reported,) = read(archive)["reported"]
        assert not [name for name in reported if name.startswith(("claimed", "resolved_by"))]
