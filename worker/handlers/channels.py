"""The "channels" flag: subscribe, unsubscribe, send and history come in, broadcasts go out (docs/protocol.md, §4)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared import validation
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
from shared.services import channels, versions
from shared.services import history as messages
from shared.services.peers import Peer
from shared.signals import ChannelsCreated
from worker.answers import Deferred
from worker.moderation.sanctions import Speaker
from worker.parts import Parts
from worker.sockets.connection import Connection

ENVELOPE_BYTES = 1024  # of an answer, without its messages
PAGES_PER_REQUEST = 20  # read for one request if they contain only muted lines

_encode = msgspec.json.Encoder().encode


def subscribe(parts: Parts, connection: Connection, request: Subscribe) -> None:
    """Subscribe the socket to a channel. If none has this name, create it, hidden.

    Raises:
        ChannelRefused: The name is invalid, or moderators have closed the channel.
        TooMany: The peer has created too many channels.
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
    """Unsubscribe the socket, if it is subscribed. Applications still receive all channels."""
    channel = parts.directory.find_channel(request.channel)
    if channel is not None:
        parts.subscriptions.leave(connection, channel.id)


def send(parts: Parts, connection: Connection, message: SendMessage) -> Deferred:
    """Check a line and store it. Once it is stored, it is delivered and the request is answered.

    Raises:
        NotSubscribed, ChannelPaused, Muted, Banned, Filtered, TooMany.
    """
    channel = require_subscribed(parts, connection, message.channel)
    assert connection.peer is not None
    name = name_without_game(message.name, connection.peer.short_name)
    line = parts.moderation.check_line(speaker_of(connection, name), channel, message.message)
    parts.limits.spend_message(connection, name, line.text)
    return parts.chat.say(connection, channel, name, line.text, flags=line.flags)


def history(parts: Parts, connection: Connection, request: RequestHistory) -> HistoryAnswer:
    """Return a page of a channel's history, without players whom the game's owner mutes.

    Raises:
        NotSubscribed: The socket is not subscribed to the channel.
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
    """Return as many messages as fit into one answer, but at least one, from the start or the end of the list."""
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

    After PAGES_PER_REQUEST pages of muted lines it returns an empty page, as at the end of the history.
    """
    before, after = request.before, request.after
    for _ in range(PAGES_PER_REQUEST):
        page, has_more = parts.database.read(
            lambda session, before=before, after=after: messages.channel_page(  # type: ignore[misc]
                session, channel_id, before=before, after=after, limit=request.limit
            )
        )
        lines = [
            line
            for line in page
            if connection.peer_key not in parts.moderation.listeners.muting_peers(line.peer, line.game, line.name)
        ]
        if lines or not has_more:
            return lines, has_more
        before, after = (before, page[-1].id) if after is not None else (page[0].id, after)
    return [], False


def speaker_of(connection: Connection, name: str) -> Speaker:
    """Return a player as a speaker on this socket."""
    peer = connection.peer
    assert peer is not None
    return Speaker(peer.key, peer.short_name, name, player_key(name), connection.transport.address, connection.user_id)


def require_subscribed(parts: Parts, connection: Connection, name: str) -> ChannelRecord:
    """Return the channel with this name. Raises NotSubscribed unless the socket receives it."""
    channel = parts.directory.find_channel(name)
    if channel is None or not (connection.is_application or channel.id in connection.channels):
        raise NotSubscribed(not_subscribed(name))
    return channel


def find_or_create(parts: Parts, peer: Peer, names: Sequence[str]) -> tuple[list[ChannelRecord], list[str]]:
    """Find the channels with these names. Create missing ones, hidden, up to the peer's limit.

    Returns:
        The channels, and the refused names: invalid, closed by moderators, or over the limit.
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
    """Return whether a name is valid and no channel has it."""
    if parts.directory.find_channel(name) is not None:
        return False
    try:
        validation.channel_name(name)
    except Invalid:
        return False
    return True


def create(parts: Parts, peer: Peer, names: Sequence[str]) -> None:
    """Create hidden channels with these names, unless they exist. Wait until this worker's directory has them.

    Other workers are sent their number, so that the peer's limit covers its sockets on all workers.
    """
    parts.signals.publish(ChannelsCreated(parts.worker_id, peer.key, len(names)))
    parts.database.write(
        lambda session: [channels.ensure_channel(session, name=name, made_by=peer.short_name) for name in names]
    )
    # Only the feed changes the directory. A channel added here might have been deleted again.
    parts.feed.wait_for(parts.database.read(versions.last_cursor))


def follow_created(parts: Parts, created: ChannelsCreated) -> None:
    """Count the channels that a peer has created through another worker."""
    if created.worker != parts.worker_id:
        parts.limits.debit_new_channels(created.peer, created.count)
