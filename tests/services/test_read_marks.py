"""Read marks, and counting the unread lines after them."""

from __future__ import annotations

import pytest

from shared.db import utc_now
from shared.services import accounts, channels, history, read_marks
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from shared.services.history import Line
from shared.services.moderation import messages
from tests.support.statements import counted_statements

pytestmark = pytest.mark.usefixtures("any_database")


def say(session, channel, count=1):
    """Store lines; returns the last one's id."""
    lines = [Line(channel.id, "game:1", "G", "Ash", f"line {n}", utc_now()) for n in range(count)]
    return history.store_lines(session, lines, worker="w")[-1]


def test_a_mark_never_moves_back(session, make):
    user, channel = make.user(), make.channel()
    for reported, kept in ((5, 5), (9, 9), (3, 9), (9, 9)):
        read_marks.mark_read(session, user_id=user.id, channel_id=channel.id, message_id=reported)
        assert read_marks.last_read(session, user_id=user.id, channel_id=channel.id) == kept


def test_unread_lines_are_counted_for_channels_opened_before(session, make):
    user, other = make.user(), make.user()
    opened, new, elsewhere = make.channel(), make.channel(), make.channel()
    read_marks.mark_read(session, user_id=user.id, channel_id=opened.id, message_id=say(session, opened))
    read_marks.mark_read(session, user_id=user.id, channel_id=elsewhere.id, message_id=0)
    read_marks.mark_read(session, user_id=other.id, channel_id=opened.id, message_id=0)
    say(session, opened, 3)
    say(session, new, 5)
    say(session, elsewhere, 2)

    counted = read_marks.count_unread(session, user_id=user.id, channel_ids=[opened.id, new.id])
    assert counted == {opened.id: 3}
    assert read_marks.count_unread(session, user_id=other.id, channel_ids=[opened.id]) == {opened.id: 4}


def test_a_redacted_line_is_not_unread(session, make):
    """No page shows it, so nobody could mark it as read."""
    user, channel = make.user(), make.channel()
    read_marks.mark_read(session, user_id=user.id, channel_id=channel.id, message_id=say(session, channel))
    moderator = actors.of_user(session, make.user(role="moderator").id)
    messages.redact(session, moderator, message_id=say(session, channel), reason="private data")
    assert read_marks.count_unread(session, user_id=user.id, channel_ids=[channel.id]) == {channel.id: 0}


def test_many_channels_are_counted_by_one_statement(session, make, engine):
    user = make.user()
    rooms = [make.channel() for _ in range(5)]
    for number, room in enumerate(rooms):
        read_marks.mark_read(session, user_id=user.id, channel_id=room.id, message_id=0)
        say(session, room, number + 1)
    session.flush()
    with counted_statements(engine) as statements:
        counted = read_marks.count_unread(session, user_id=user.id, channel_ids=[room.id for room in rooms])
    assert counted == {room.id: number + 1 for number, room in enumerate(rooms)}
    assert len(statements) == 1


def test_counting_stops_at_the_limit(session, make):
    user, channel = make.user(), make.channel()
    read_marks.mark_read(session, user_id=user.id, channel_id=channel.id, message_id=0)
    say(session, channel, read_marks.MAX_UNREAD + 5)
    assert read_marks.count_unread(session, user_id=user.id, channel_ids=[channel.id]) == {
        channel.id: read_marks.MAX_UNREAD
    }


def test_deleting_the_account_or_the_channel_deletes_its_marks(session, make):
    user, channel, kept = make.user(), make.channel(), make.channel()
    stays = make.user()
    for reader in (user, stays):
        for room in (channel, kept):
            read_marks.mark_read(session, user_id=reader.id, channel_id=room.id, message_id=1)
    accounts.delete_account(session, actors.of_user(session, user.id), password=make.password)
    channels.delete_channel(session, OPERATOR, name=channel.name)
    session.commit()
    marks = [
        (reader_id, room)
        for reader_id in (user.id, stays.id)
        for room in (channel.id, kept.id)
        if read_marks.last_read(session, user_id=reader_id, channel_id=room) is not None
    ]
    assert marks == [(stays.id, kept.id)]


@pytest.mark.parametrize("gone", ["account", "channel"])
def test_marking_a_deleted_channel_does_nothing(session, make, gone):
    """A worker writes a mark a moment later, when the account or channel may be deleted."""
    user, channel = make.user(), make.channel()
    ids = {"user_id": user.id, "channel_id": channel.id}
    ids["user_id" if gone == "account" else "channel_id"] = 10_000
    read_marks.mark_read(session, **ids, message_id=3)
    read_marks.mark_read(session, user_id=user.id, channel_id=channel.id, message_id=4)
    session.commit()
    assert read_marks.last_read(session, **ids) is None
    assert read_marks.last_read(session, user_id=user.id, channel_id=channel.id) == 4
