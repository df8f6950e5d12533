"""Permissions: every service that acts requires an actor, and consults the table of permissions."""

from __future__ import annotations

import importlib
import inspect
import io
import pkgutil

import pytest

from shared import services
from shared.bus import Bus
from shared.db import utc_now
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.models.game_details import GameDetails
from shared.services import (
    accounts,
    application_requests,
    applications,
    backups,
    channels,
    characters,
    game_import,
    game_transfers,
    games,
    network,
    users,
)
from shared.services.authority import actors, audit
from shared.services.authority.actors import OPERATOR, VISITOR, Actor, Role
from shared.services.authority.permissions import Act, may
from shared.services.dumps import writer
from shared.services.moderation import (
    appeals,
    channel_states,
    filters,
    game_mutes,
    ignores,
    messages,
    notes,
    presets,
    reports,
    safeguards,
    sanctions,
)
from shared.services.oauth import keys
from tests.support.factory import PASSWORD
from tests.support.moderating import mute
from tests.support.permissions import ON_PAGES, WHO

pytestmark = pytest.mark.usefixtures("any_database")

WORD = {"kind": "word", "action": "mask", "text": "darn"}
NO_BUS = Bus("redis://127.0.0.1:1")


def service_functions():
    """Yield every public function of the services, with its full name and parameters."""
    for module_info in pkgutil.walk_packages(services.__path__, services.__name__ + "."):
        module = importlib.import_module(module_info.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                yield f"{module.__name__}.{name}", inspect.signature(function).parameters


def test_every_service_that_acts_needs_an_actor():
    """The actor follows the session and has no default: a caller that forgets it fails instead of getting rights."""
    functions = dict(service_functions())
    actors_first = {name: list(parameters.values()) for name, parameters in functions.items() if "actor" in parameters}
    assert len(actors_first) > 60
    for name, parameters in actors_first.items():
        position = [parameter.name for parameter in parameters].index("actor")
        assert position == ("session" in functions[name]), name
        assert parameters[position].default is inspect.Parameter.empty, name
        assert parameters[position].annotation == "Actor", name
    assert [name for name, parameters in functions.items() if {"actor_id", "viewer_id"} & parameters.keys()] == []


@pytest.mark.parametrize("who", ON_PAGES)
@pytest.mark.parametrize("act", [act for act in Act if act not in (Act.SEE_TRANSPARENCY,)])
def test_the_services_obey_the_table(make, session, who, act):
    """Every kind of actor tries every act. If the table forbids it, the service raises Forbidden first."""
    calls = {
        Act.CREATE_CHANNEL: lambda a: channels.get_channel(
            session, channels.create_channel(session, a, name="den").name + "x"
        ),
        Act.PROPOSE_CHANNEL: lambda a: channels.propose_channel(session, a, name="x"),
        Act.UPDATE_CHANNEL: lambda a: channels.update_channel(session, a, name="x"),
        Act.DELETE_CHANNEL: lambda a: channels.delete_channel(session, a, name="x"),
        Act.APPROVE_CHANNEL: lambda a: channel_states.approve(session, a, channel="x"),
        Act.DESCRIBE_CHANNEL: lambda a: channel_states.describe(session, a, channel="x", description=""),
        Act.RENAME_CHANNEL: lambda a: channel_states.rename(session, a, channel="x", new_name="yyy"),
        Act.HIDE_CHANNEL: lambda a: channel_states.hide(session, a, channel="x"),
        Act.CLOSE_CHANNEL: lambda a: channel_states.close(session, a, channel="x", reason="r"),
        Act.OPEN_CHANNEL: lambda a: channel_states.reopen(session, a, channel="x"),
        Act.PAUSE: lambda a: channel_states.pause(session, a, channel="x", minutes=1, reason="r"),
        Act.RESUME: lambda a: channel_states.resume(session, a, channel="x"),
        Act.SLOW: lambda a: channel_states.slow_down(session, a, channel="x", seconds=1),
        Act.SANCTION: lambda a: mute(session, a, "Nobody@Nowhere"),
        Act.LIFT: lambda a: sanctions.lift(session, a, sanction_id=9, reason="r"),
        Act.UNDO: lambda a: sanctions.undo(session, a, sanction_id=9, reason="r"),
        Act.RESTORE: lambda a: sanctions.restore(session, a, sanction_id=9, reason="r"),
        Act.REDACT: lambda a: messages.redact(session, a, message_id=9, reason="r"),
        Act.REPORT: lambda a: reports.create_report(session, a, game="Nowhere", name="x", text="t"),
        Act.NOTE: lambda a: notes.add_note(session, a, about="report:9", text=""),
        Act.RESOLVE_REPORT: lambda a: reports.resolve_report(session, a, report_id=9, state="upheld", outcome="o"),
        Act.APPEAL: lambda a: appeals.create_appeal(session, a, sanction_id=9, text="t"),
        Act.DECIDE_APPEAL: lambda a: appeals.decide_appeal(session, a, appeal_id=9, is_granted=True, outcome="o"),
        Act.EDIT_FILTERS: lambda a: filters.get_filter(session, filters.create_filter(session, a, **WORD).id + 9),
        Act.EDIT_PRESETS: lambda a: presets.delete_preset(session, a, preset_id=999),
        Act.MUTE_FOR_GAME: lambda a: game_mutes.add_mute(session, a, short_name="Nowhere", pattern="a@*"),
        Act.IGNORE: lambda a: ignores.delete_ignore(session, a, ignore_id=9),
        Act.CREATE_USER: lambda a: users.register_user(session, a, username="x", email=None, password="", role="admin"),
        Act.GIVE_ROLE: lambda a: users.set_role(session, a, username="nobody", role="admin"),
        Act.SET_PASSWORD: lambda a: accounts.set_password(session, a, username="nobody", new=PASSWORD),
        Act.MANAGE_GAMES: lambda a: games.create_game(
            session, a, owner_id=999, details=GameDetails(name="X", short_name="X")
        ),
        Act.IMPORT_GAMES: lambda a: game_import.import_games(session, a, ["{}"]),
        Act.REQUEST_APPLICATION: lambda a: application_requests.create_request(
            session, a, name="x", short_name="!", purpose="x"
        ),
        Act.MANAGE_APPLICATIONS: lambda a: applications.delete_application(session, a, short_name="x"),
        Act.GIVE_SCOPES: lambda a: applications.set_scopes(session, a, short_name="x", scopes=[]),
        Act.ANNOUNCE_RESTART: lambda a: network.announce_restart(session, a, NO_BUS, downtime_seconds=0),
        Act.RESTORE_BACKUP: lambda a: backups.start_over(session, a),
        Act.ROTATE_KEYS: lambda a: keys.rotate(session, a, secrets=["secret"]),
        Act.MOVE_NETWORK: lambda a: writer.export_network(session, a, io.BytesIO(), schema="0", now=utc_now()),
        Act.RAID: lambda a: safeguards.start_raid_protection(session, a, hours=0, reason="r"),
        Act.RAID_OVER: lambda a: safeguards.end_raid_protection(session, a),
        Act.SET_PROBATION: lambda a: safeguards.set_probation(
            session, a, hours=-1, slow_seconds=0, refuses_links=False
        ),
        Act.SEE: lambda a: reports.get_report(session, a, 9),
    }
    actor = Actor("user", make.user(role=who if who in ("moderator", "admin") else "player").id, who, WHO[who])
    with pytest.raises((NotFound, Invalid, Conflict) if may(actor, act) else Forbidden):
        calls[act](VISITOR if who == "visitor" else actor)


def test_a_visitor_may_change_nothing(make, session):
    """VISITOR is nobody, not the operator: to a visitor, other people's records do not exist."""
    owner, receiver = make.user(), make.user()
    game = make.game("Tea", owner=owner)
    way = make.connection(game)
    make.channel("tea-room", is_hidden=True)
    game_transfers.offer_game(session, actors.of_user(session, owner.id), short_name="Tea", username=receiver.username)
    session.commit()
    for forbidden in (
        lambda: games.update_game(session, VISITOR, short_name="Tea", details=game.details),
        lambda: games.regenerate_credentials(session, VISITOR, short_name="Tea"),
        lambda: games.delete_game(session, VISITOR, short_name="Tea"),
        lambda: games.add_connection(session, VISITOR, short_name="Tea", type="web", url="https://a.bc"),
        lambda: games.update_connection(session, VISITOR, connection_id=way.id, type="web", url="https://a.bc"),
        lambda: games.delete_connection(session, VISITOR, connection_id=way.id),
        lambda: games.check_connections(session, VISITOR, short_name="Tea"),
        lambda: game_transfers.offer_game(session, VISITOR, short_name="Tea", username=owner.username),
        lambda: game_transfers.accept_game(session, VISITOR, short_name="Tea"),
        lambda: game_transfers.cancel_transfer(session, VISITOR, short_name="Tea"),
        lambda: characters.approve_character(session, VISITOR, character_id=1),
        # The channel has no proposer: None must not match the visitor's lack of an id.
        lambda: channels.get_public_channel(session, VISITOR, name="tea-room"),
        lambda: channels.describe_channel(session, VISITOR, name="tea-room", description="x"),
    ):
        with pytest.raises(NotFound):
            forbidden()
    for forbidden in (
        lambda: accounts.change_password(session, VISITOR, current=PASSWORD, new="another password"),
        lambda: accounts.ask_for_email(session, VISITOR, password=PASSWORD, email="a@example.com"),
        lambda: accounts.cancel_email(session, VISITOR),
        lambda: accounts.end_sessions(session, VISITOR),
        lambda: accounts.set_privacy(session, VISITOR, is_profile_hidden=True, is_online_hidden=True),
        lambda: accounts.replace_registration_key(session, VISITOR),
        lambda: accounts.delete_account(session, VISITOR, password=PASSWORD),
    ):
        with pytest.raises(Forbidden):
            forbidden()
    assert not session.dirty and not session.deleted and not session.new


def test_an_id_of_another_kind_of_actor_is_not_a_user_id(make, session):
    """A game or an application with the id of an owner is not that owner."""
    owner = make.user()
    make.game("Tea", owner=owner)
    for kind, role in (("game", Role.GAME), ("application", Role.MODERATING_APPLICATION)):
        with pytest.raises(NotFound):
            games.get_own_game(session, Actor(kind, owner.id, "x", frozenset([role])), short_name="Tea")


def test_roles_come_from_the_account(make, session):
    assert actors.of_user(session, None) is actors.VISITOR
    assert actors.of_user(session, 999) is actors.VISITOR
    owner = make.user()
    make.game(owner=owner)
    assert actors.of_user(session, owner.id).roles == {Role.PLAYER, Role.OWNER}
    assert actors.of_user(session, make.admin().id).role == "admin"
    plain, scoped = make.application(), make.application(scopes=["moderate"])
    assert Role.MODERATING_APPLICATION not in actors.of_application(session, plain.id).roles
    assert Role.MODERATING_APPLICATION in actors.of_application(session, scoped.id).roles


def test_roles_scopes_and_passwords_are_in_the_audit_trail(make, session, admin):
    """With the actor's name, and without acts that change nothing."""
    user = make.user("wren")
    users.set_role(session, admin, username="Wren", role="moderator")
    users.set_role(session, admin, username="Wren", role="moderator")
    accounts.set_password(session, OPERATOR, username="wren", new="another password")
    make.application("Quiet")
    make.application("Loud", scopes=["moderate"])
    applications.set_scopes(session, admin, short_name="loud", scopes=[])
    session.commit()
    entries = [
        (entry.act, entry.actor_name, entry.target, entry.before, entry.after)
        for entry in audit.entries_since(session, 0)
    ]
    assert entries == [
        ("user/role", admin.name, "wren", '{"role":"player"}', '{"role":"moderator"}'),
        ("user/password", "operator", "wren", None, None),
        ("application/scopes", "operator", "Loud", '{"scopes":[]}', '{"scopes":["moderate"]}'),
        ("application/scopes", admin.name, "Loud", '{"scopes":["moderate"]}', '{"scopes":[]}'),
    ]
    assert "another password" not in "".join(audit.export_json(session))
    assert audit.list_entries(session, about=f"user:{user.id}").total == 2


def test_roles_at_creation_and_channels_of_admins_are_in_the_audit_trail(session, admin):
    """With the actor's name, each act once, and without acts that change nothing."""
    password = "a long password"
    for name, role in (("wren", "moderator"), ("robin", "player")):
        users.register_user(session, OPERATOR, username=name, email=None, password=password, role=role)
    channels.create_channel(session, OPERATOR, name="den")
    for hidden in (True, True):
        channels.update_channel(session, admin, name="den", is_hidden=hidden)
    channel_states.approve(session, admin, channel="den")
    channels.delete_channel(session, admin, name="den")
    session.commit()
    assert [(entry.act, entry.actor_name, entry.target) for entry in audit.entries_since(session, 0)] == [
        ("user/role", "operator", "wren"),
        ("channel/create", "operator", "den"),
        ("channel/update", admin.name, "den"),
        ("channel/approve", admin.name, "den"),
        ("channel/delete", admin.name, "den"),
    ]
    entries = audit.entries_since(session, 0)
    assert (entries[0].before, entries[0].after) == (None, '{"role":"moderator"}')
    assert entries[1].before is None and entries[-1].after is None and password not in repr(entries)
