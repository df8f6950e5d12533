"""The "channels" flag: subscribe, unsubscribe, send and history come in, broadcasts go out (docs/protocol.md, §4)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared.errors import ChannelRefused, Invalid, NotSubscribed, TooMany
from shared.models.message import Message
from shared.protocol.channels import (
    HistoryAnswer,
    HistoryMessage,
    RequestHistory,
    SendMessage,
    Subscribe,
    Unsubscribe,
)
from shared.protocol.codes import could_not_subscribe, not_subscribed
from shared.protocol.sync import ChannelRecord
from shared.protocol.types import name_without_game, player_key, whole_seconds
from shared.services import channels, validation, versions
from shared.services import history as messages
from shared.services.peers import Peer
from shared.signals import ChannelsCreated
from worker.answers import Deferred
from worker.moderation.sanctions import Speaker
from worker.parts import Parts
from worker.sockets.connection import Connection

ENVELOPE_BYTES = 1024  # of an answer's frame without its messages
PAGES_AT_ONCE = 20  # read for one request while they hold nothing but muted lines

_encode = msgspec.json.Encoder().encode


def subscribe(parts: Parts, connection: Connection, request: Subscribe) -> None:
    """Subscribe the socket to a channel. If there is none of this name, create it, hidden.

    Raises:
        ChannelRefused: the name is not valid, or moderators have closed the channel.
        TooMany: the peer has created too many channels.
    """
    if is_unknown(parts, request.channel):
        assert connection.peer is not None
        parts.limits.spend_new_channel(connection.peer.key)
        create(parts, connection.peer, [request.channel])
    channel = parts.directory.find_channel(request.channel)
    if channel is None or parts.moderation.is_closed(channel.id):
        raise ChannelRefused(could_not_subscribe(request.channel))
    parts.subscriptions.join(connection, channel.id)


def unsubscribe(parts: Parts, connection: Connection, request: Unsubscribe) -> None:
    """Unsubscribe the socket. Succeeds also if it was not subscribed. Applications still hear every channel."""
    channel = parts.directory.find_channel(request.channel)
    if channel is not None:
        parts.subscriptions.leave(connection, channel.id)


def send(parts: Parts, connection: Connection, message: SendMessage) -> Deferred:
    """Check a line and store it in the history; it is delivered, and the request answered, once it is stored.

    Raises:
        NotSubscribed, ChannelPaused, Muted, Banned, Filtered, TooMany.
    """
    channel = require_subscribed(parts, connection, message.channel)
    assert connection.peer is not None
    name = name_without_game(message.name, connection.peer.short_name)
    line = parts.moderation.check_line(speaker_of(connection, name), channel, message.message)
    parts.limits.spend_message(connection, name)
    return parts.chat.say(connection, channel, name, line.text, flags=line.flags)


def history(parts: Parts, connection: Connection, request: RequestHistory) -> HistoryAnswer:
    """Return a page of a channel's history, without players whom the game's owner mutes.

    Raises:
        NotSubscribed: the socket does not hear the channel.
    """
    channel = require_subscribed(parts, connection, request.channel)
    lines, has_more = _read_page(parts, connection, channel.id, request)
    messages = [
        HistoryMessage(
            id=line.id, sent_at=whole_seconds(line.sent_at), game=line.game, name=line.name, message=line.text
        )
        for line in lines
    ]
    fitting = _cut(messages, connection.transport.pace_bytes - ENVELOPE_BYTES, from_start=request.after is not None)
    return HistoryAnswer(channel=channel.name, messages=fitting, more=has_more or len(fitting) < len(messages))


def _cut(messages: list[HistoryMessage], max_bytes: int, *, from_start: bool) -> list[HistoryMessage]:
    """Return as many messages as fit into one answer, from the start or the end of the list; always at least one."""
    count = size = 0
    for message in messages if from_start else reversed(messages):
        size += len(_encode(message)) + 1
        if count and size > max_bytes:
            break
        count += 1
    return messages[:count] if from_start else messages[len(messages) - count :]


def _read_page(
    parts: Parts, connection: Connection, channel_id: int, request: RequestHistory
) -> tuple[list[Message], bool]:
    """Return the first page with a line that is not muted, and whether more follow.

    After PAGES_AT_ONCE pages of muted lines it returns an empty page, as at the end of the history.
    """
    before, after = request.before, request.after
    for _ in range(PAGES_AT_ONCE):
        page, has_more = parts.database.read(
            lambda session, before=before, after=after: messages.channel_page(  # type: ignore[misc]
                session, channel_id, before=before, after=after, limit=request.limit
            )
        )
        lines = [
            line
            for line in page
            if connection.peer_key not in parts.moderation.muting_peers(line.peer, line.game, line.name)
        ]
        if lines or not has_more:
            return lines, has_more
        before, after = (before, page[-1].id) if after is not None else (page[0].id, after)
    return [], False


def speaker_of(connection: Connection, name: str) -> Speaker:
    """Return a player who speaks through this socket, as moderation knows them."""
    peer = connection.peer
    assert peer is not None
    return Speaker(peer.key, peer.short_name, name, player_key(name), connection.transport.address, connection.user_id)


def require_subscribed(parts: Parts, connection: Connection, name: str) -> ChannelRecord:
    """Return the channel of this name. Raises NotSubscribed unless the socket hears it."""
    channel = parts.directory.find_channel(name)
    if channel is None or not (connection.is_application or channel.id in connection.channels):
        raise NotSubscribed(not_subscribed(name))
    return channel


def find_or_create(parts: Parts, peer: Peer, names: Sequence[str]) -> tuple[list[ChannelRecord], list[str]]:
    """Find the channels of these names, and create those that do not exist, hidden, up to the peer's limit.

    Returns:
        The channels, and the names that were refused: not valid, closed by moderators, or beyond the limit.
    """
    unknown: list[str] = []
    for name in names:
        if is_unknown(parts, name):
            try:
                parts.limits.spend_new_channel(peer.key)
            except TooMany:
                break
            unknown.append(name)
    if unknown:
        create(parts, peer, unknown)
    records: list[ChannelRecord] = []
    refused: list[str] = []
    for name in names:
        channel = parts.directory.find_channel(name)
        if channel is None or parts.moderation.is_closed(channel.id):
            refused.append(name)
        else:
            records.append(channel)
    return records, refused


def is_unknown(parts: Parts, name: str) -> bool:
    """Return True for a valid name that no channel has."""
    if parts.directory.find_channel(name) is not None:
        return False
    try:
        validation.channel_name(name)
    except Invalid:
        return False
    return True


def create(parts: Parts, peer: Peer, names: Sequence[str]) -> None:
    """Create channels of these names, hidden, unless they exist by now. Waits until this worker's directory has them.

    Tells the other workers how many, so that the limit holds for the peer wherever its sockets are.
    """
    parts.signals.publish(ChannelsCreated(parts.worker_id, peer.key, len(names)))
    parts.database.write(
        lambda session: [channels.ensure_channel(session, name=name, made_by=peer.short_name) for name in names]
    )
    # Only the log may change the directory: a channel added here could be one that was deleted a moment ago.
    parts.feed.wait_for(parts.database.read(versions.last_cursor))


def follow_created(parts: Parts, created: ChannelsCreated) -> None:
    """Count the channels that a peer has created through another worker."""
    if created.worker != parts.worker_id:
        parts.limits.debit_new_channels(created.peer, created.count)
