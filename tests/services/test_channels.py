"""Channels: names, permissions, and channels that sockets create."""

from __future__ import annotations

import pytest

from shared import db
from shared.db import utc_now
from shared.errors import Conflict, Forbidden, Invalid, NameTaken, NotFound
from shared.models.channel import Channel
from shared.models.message import Message
from shared.services import channels
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from tests.support.racing import Racer, wait_until_blocked


@pytest.mark.parametrize("name", ["abc", "A-Z_z", "a" * 15, "___", "Gossip"])
def test_good_names(session, name):
    channel = channels.create_channel(session, OPERATOR, name=name)
    assert (channel.name, channel.is_hidden, channel.description) == (name, False, None)


BAD_NAMES = [
    "",
    "ab",
    "a" * 16,
    "with space",
    "digit7",
    "chän",
    "ALL",
    "all",
    "nul\0nul",
    "a.b",
    "a\nbc",
    "\ud800bcd",
    None,
    5,
]


@pytest.mark.parametrize(
    ("how", "name"),
    # In an update, None means no change.
    [(how, name) for how in ("create", "ensure", "update") for name in BAD_NAMES if (how, name) != ("update", None)],
)
def test_bad_names_are_refused_wherever_they_are_given(session, how, name):
    channels.create_channel(session, OPERATOR, name="gossip")
    with pytest.raises(Invalid) as refused:
        if how == "create":
            channels.create_channel(session, OPERATOR, name=name)
        elif how == "ensure":
            channels.ensure_channel(session, name=name)
        else:
            channels.update_channel(session, OPERATOR, name="gossip", new_name=name)
    assert refused.value.field == "name"


@pytest.mark.parametrize("description", ["x" * 501, "nul\0", "bell\x07", "\ud800", 7])
def test_bad_descriptions_are_refused(session, description):
    with pytest.raises(Invalid) as refused:
        channels.create_channel(session, OPERATOR, name="gossip", description=description)
    assert refused.value.field == "description"


def test_a_description_is_cleaned(session):
    channel = channels.create_channel(session, OPERATOR, name="gossip", description="  one\r\ntwo\rthree  ")
    assert channel.description == "one\ntwo\nthree"
    assert channels.update_channel(session, OPERATOR, name="gossip", description=" ").description is None


@pytest.mark.usefixtures("any_database")
def test_names_are_unique_without_case(session):
    channels.create_channel(session, OPERATOR, name="Gossip")
    with pytest.raises(NameTaken):
        channels.create_channel(session, OPERATOR, name="gOSSIP")
    channels.create_channel(session, OPERATOR, name="testing")
    with pytest.raises(NameTaken):
        channels.update_channel(session, OPERATOR, name="testing", new_name="GOSSIP")
    assert channels.update_channel(session, OPERATOR, name="GOSSIP", new_name="gossip").name == "gossip"


@pytest.mark.usefixtures("any_database")
def test_a_lost_race_for_a_name_is_a_name_taken(engine, monkeypatch):
    if engine.dialect.name == "sqlite":
        monkeypatch.setattr(channels, "find_channel", lambda session, name: None)

    def lose():
        with db.transaction() as other:
            channels.create_channel(other, OPERATOR, name="GOSSIP")

    with db.transaction() as session:
        channels.create_channel(session, OPERATOR, name="gossip")
        racer = Racer(lose)
        wait_until_blocked(engine, racer)
    with pytest.raises(NameTaken) as taken:
        racer.join()
    assert taken.value.field == "name"


@pytest.mark.usefixtures("any_database")
def test_a_lost_race_for_a_rename_is_a_name_taken(engine, stored, monkeypatch):
    stored.channel("first")
    stored.channel("second")
    if engine.dialect.name == "sqlite":
        find = channels.find_channel
        monkeypatch.setattr(
            channels, "find_channel", lambda session, name: None if name == "Goal" else find(session, name)
        )

    def lose():
        with db.transaction() as other:
            channels.update_channel(other, OPERATOR, name="second", new_name="Goal")

    with db.transaction() as session:
        channels.update_channel(session, OPERATOR, name="first", new_name="goal")
        racer = Racer(lose)
        wait_until_blocked(engine, racer)
    with pytest.raises(NameTaken):
        racer.join()


@pytest.mark.usefixtures("any_database")
def test_two_sockets_that_create_one_channel_share_it(engine, monkeypatch):
    """The slower one gets the channel of the faster one, whatever spelling it asked for."""
    if engine.dialect.name == "sqlite":
        monkeypatch.setattr(channels, "find_channel", _blind_once(channels.find_channel))

    def second():
        with db.transaction() as other:
            return channels.ensure_channel(other, name="FRESH").id

    with db.transaction() as session:
        if engine.dialect.name == "sqlite":
            created = channels.create_channel(session, OPERATOR, name="fresh", is_hidden=True)
        else:
            created = channels.ensure_channel(session, name="fresh")
            session.flush()
        racer = Racer(second)
        wait_until_blocked(engine, racer)
    assert racer.join() == created.id
    with db.reading() as session:
        assert [channel.name for channel in channels.list_channels(session)] == ["fresh"]


def _blind_once(find):
    """Finds nothing the first two times: in `create_channel`, and first in `ensure_channel`."""
    looks = []

    def look(session, name):
        looks.append(name)
        return None if len(looks) <= 2 else find(session, name)

    return look


def test_a_socket_gets_the_existing_channel_or_a_new_hidden_one(session):
    channels.create_channel(session, OPERATOR, name="Gossip")
    assert channels.ensure_channel(session, name="gossip").name == "Gossip"
    created = channels.ensure_channel(session, name="Fresh")
    assert (created.name, created.is_hidden) == ("Fresh", True)


def test_only_admins_create_update_and_delete(make, session):
    player, moderator, admin = make.user(), make.user(role="moderator"), make.admin()
    make.channel("gossip")
    for actor in (player, moderator):
        for forbidden in (
            lambda actor=actor: channels.create_channel(session, actors.of_user(session, actor.id), name="other"),
            lambda actor=actor: channels.update_channel(
                session, actors.of_user(session, actor.id), name="gossip", is_hidden=True
            ),
            lambda actor=actor: channels.delete_channel(session, actors.of_user(session, actor.id), name="gossip"),
        ):
            with pytest.raises(Forbidden):
                forbidden()
    channels.update_channel(session, actors.of_user(session, admin.id), name="GOSSIP", is_hidden=True)
    assert channels.get_channel(session, "gossip").is_hidden
    channels.delete_channel(session, actors.of_user(session, admin.id), name="gOssip")
    with pytest.raises(NotFound):
        channels.delete_channel(session, actors.of_user(session, admin.id), name="gossip")


def test_owners_propose_hidden_channels_and_describe_their_own(make, session):
    owner, stranger = make.user(), make.user()
    with pytest.raises(Forbidden):
        channels.propose_channel(session, actors.of_user(session, owner.id), name="tea-room")
    make.game(owner=owner)
    make.game(owner=stranger)
    channel = channels.propose_channel(session, actors.of_user(session, owner.id), name="tea-room", description="Tea.")
    assert channel.is_hidden and channel.proposed_by_id == owner.id
    assert (
        channels.describe_channel(session, actors.of_user(session, owner.id), name="TEA-room", description="More.")
        is channel
    )
    with pytest.raises(NotFound):
        channels.describe_channel(session, actors.of_user(session, stranger.id), name="tea-room", description="Mine.")
    channel.is_hidden = False
    session.flush()
    with pytest.raises(Forbidden):
        channels.describe_channel(session, actors.of_user(session, stranger.id), name="tea-room", description="Mine.")
    assert channel.description == "More."


def test_an_owner_may_have_a_limited_number_of_open_proposals(make, session):
    owner = make.user()
    make.game(owner=owner)
    created = [
        channels.propose_channel(session, actors.of_user(session, owner.id), name="room-" + "a" * number)
        for number in range(1, channels.PROPOSALS_PER_OWNER + 1)
    ]
    with pytest.raises(Conflict):
        channels.propose_channel(session, actors.of_user(session, owner.id), name="one-more")
    channels.update_channel(session, OPERATOR, name=created[0].name, is_hidden=False)
    assert channels.propose_channel(session, actors.of_user(session, owner.id), name="one-more")


def test_only_the_proposer_and_staff_see_hidden_channels(make, session):
    owner, stranger, moderator, admin = make.user(), make.user(), make.user(role="moderator"), make.admin()
    make.game(owner=owner)
    channels.propose_channel(session, actors.of_user(session, owner.id), name="tea-room")
    make.channel("gossip")
    for viewer in (owner, moderator, admin):
        assert channels.get_public_channel(session, actors.of_user(session, viewer.id), name="tea-room")
    for viewer_id in (None, stranger.id, 999_999):
        with pytest.raises(NotFound):
            channels.get_public_channel(session, actors.of_user(session, viewer_id), name="tea-room")
    assert [channel.name for channel in channels.list_public_channels(session)] == ["gossip"]
    assert [channel.name for channel in channels.list_channels(session)] == ["gossip", "tea-room"]
    assert [channel.name for channel in channels.list_channels_proposed_by(session, owner.id)] == ["tea-room"]


@pytest.mark.usefixtures("any_database")
def test_ids_are_never_reused_and_names_are(session):
    """A deleted channel's name is free again; the new one is another channel."""
    first = channels.create_channel(session, OPERATOR, name="gossip").id
    session.commit()
    channels.delete_channel(session, OPERATOR, name="gossip")
    session.commit()
    assert channels.create_channel(session, OPERATOR, name="GOSSIP").id > first


@pytest.mark.usefixtures("any_database")
def test_a_channel_stays_when_its_proposer_deletes_the_account(make, session):
    owner = make.user()
    channel = make.channel("gossip")
    channel.proposed_by_id = owner.id
    session.commit()
    session.delete(owner)
    session.commit()
    session.expire_all()
    assert session.get(Channel, channel.id).proposed_by_id is None


def test_admins_see_who_created_a_channel_and_whether_it_is_used(session, make):
    """A mistyped name creates a hidden channel, which admins can find."""
    make.channel("gossip")
    typo = channels.ensure_channel(session, name="gosip", made_by="MidMUD")
    used = channels.ensure_channel(session, name="secret", made_by="Ashfall")
    line = {"peer": "game:1", "game": "Ashfall", "name": "A", "text": "hi", "worker": "w"}
    session.add(Message(id=1, channel_id=used.id, sent_at=utc_now(), **line))
    session.flush()
    assert (typo.made_by, used.made_by) == ("MidMUD", "Ashfall")
    assert channels.ensure_channel(session, name="GOSIP", made_by="Ashfall").made_by == "MidMUD"
    assert channels.find_unused(session) == {typo.id}
