"""The "channels" flag: subscribe, unsubscribe, send and history come in, broadcasts go out (docs/protocol.md, §4)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from shared.errors import ChannelRefused, Invalid, NotSubscribed, TooMany
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
from shared.protocol.types import player_key, whole_seconds
from shared.services import channels, rules, versions
from shared.services import history as messages
from worker.answers import Deferred
from worker.moderation.sanctions import Speaker
from worker.wire.fanout import ChannelTopic

CREATED = "channels-created"  # the signals' topic
PAGES_AT_ONCE = 20  # of muted lines, that are passed over for one request

if TYPE_CHECKING:
    from shared.models.message import Message
    from shared.services.peers import Peer
    from worker.sockets.connection import Connection
    from worker.worker import Worker


class CreatedSignal(msgspec.Struct, frozen=True):
    """The signal of topic `channels-created`: so many channels were, by a peer's subscribing."""

    worker: str
    peer: str
    count: int


def subscribe(connection: Connection, request: Subscribe) -> None:
    """Subscribe to a channel; a valid unknown name creates it, hidden. Raises ChannelRefused, TooMany."""
    worker = connection.worker
    if is_unknown(worker, request.channel):
        worker.limits.spend_new_channel(connection.peer_key or "")
        assert connection.peer is not None
        create(worker, connection.peer, [request.channel])
    channel = worker.directory.find_channel(request.channel)
    if channel is None or worker.moderation.is_closed(channel.id):
        raise ChannelRefused(could_not_subscribe(request.channel))
    join(connection, channel)


def unsubscribe(connection: Connection, request: Unsubscribe) -> None:
    """Unsubscribe; a success also when it was not subscribed. Applications hear every channel all the same."""
    channel = connection.worker.directory.find_channel(request.channel)
    if channel is not None and channel.id in connection.channels:
        leave(connection, channel.id)


def send(connection: Connection, message: SendMessage) -> Deferred:
    """Say something: stored in the history, then handed on. The answer comes once it is stored.

    Raises NotSubscribed, ChannelPaused, Muted, Banned, Filtered, TooMany.
    """
    channel = require_subscribed(connection, message.channel)
    worker = connection.worker
    checked = worker.moderation.check_line(speaker_of(connection, message.name), channel, message.message)
    worker.limits.spend_message(connection, message.name)
    return worker.chat.say(connection, channel, message.name, checked.text, flags=checked.flags)


def history(connection: Connection, request: RequestHistory) -> HistoryAnswer:
    """A page of what was said on a channel that the socket is subscribed to, without whom its owner mutes.

    Raises NotSubscribed.
    """
    channel = require_subscribed(connection, request.channel)
    found, more = _read_heard(connection, channel.id, request)
    return HistoryAnswer(
        channel=channel.name,
        messages=[
            HistoryMessage(
                id=line.id, sent_at=whole_seconds(line.sent_at), game=line.game, name=line.name, message=line.text
            )
            for line in found
        ],
        more=more,
    )


def _read_heard(connection: Connection, channel_id: int, request: RequestHistory) -> tuple[list[Message], bool]:
    """The first page with a line that the peer hears; if many in a row have none, nothing, as if it were the end."""
    worker, before, after = connection.worker, request.before, request.after
    for _ in range(PAGES_AT_ONCE):
        found, more = worker.database.read(
            lambda session, before=before, after=after: messages.channel_page(  # type: ignore[misc]
                session, channel_id, before=before, after=after, limit=request.limit
            )
        )
        heard = [
            line
            for line in found
            if connection.peer_key not in worker.moderation.muting_peers(line.peer, line.game, line.name)
        ]
        if heard or not more:
            return heard, more
        before, after = (before, found[-1].id) if after is not None else (found[0].id, after)
    return [], False


def speaker_of(connection: Connection, name: str) -> Speaker:
    """A player who speaks through a socket, as moderation knows them."""
    peer = connection.peer
    assert peer is not None
    return Speaker(peer.key, peer.short_name, name, player_key(name), connection.transport.address, connection.user_id)


def require_subscribed(connection: Connection, name: str) -> ChannelRecord:
    """The channel of this name, if the socket hears it. Raises NotSubscribed."""
    channel = connection.worker.directory.find_channel(name)
    if channel is None or not (connection.is_application or channel.id in connection.channels):
        raise NotSubscribed(not_subscribed(name))
    return channel


def find_or_create(worker: Worker, peer: Peer, names: Sequence[str]) -> tuple[list[ChannelRecord], list[str]]:
    """The channels of these names, unknown ones made, hidden; and the names that no channel has or can have, or that
    moderators have closed.

    A peer that has made too many gets no more.
    """
    unknown: list[str] = []
    for name in names:
        if is_unknown(worker, name):
            try:
                worker.limits.spend_new_channel(peer.key)
            except TooMany:
                break
            unknown.append(name)
    if unknown:
        create(worker, peer, unknown)
    found: list[ChannelRecord] = []
    refused: list[str] = []
    for name in names:
        channel = worker.directory.find_channel(name)
        if channel is None or worker.moderation.is_closed(channel.id):
            refused.append(name)
        else:
            found.append(channel)
    return found, refused


def is_unknown(worker: Worker, name: str) -> bool:
    """True if there is no channel of this name, and could be."""
    if worker.directory.find_channel(name) is not None:
        return False
    try:
        rules.channel_name(name)
    except Invalid:
        return False
    return True


def create(worker: Worker, peer: Peer, names: Sequence[str]) -> None:
    """Make channels of these names, hidden, unless somebody just did, and wait until this worker knows of them.

    Other workers are told how many, so that the limit holds for the peer wherever its sockets are.
    """
    worker.signals.publish(CREATED, CreatedSignal(worker.id, peer.key, len(names)))
    worker.database.write(
        lambda session: [channels.ensure_channel(session, name=name, made_by=peer.short_name) for name in names]
    )
    # The directory hears of them from the log alone: put in here, one that is deleted at this moment would stay.
    worker.feed.wait_for(worker.database.read(versions.last_cursor))


def hear_created(worker: Worker, signal: Any) -> None:
    """Another worker let a peer create channels."""
    heard = msgspec.convert(signal, CreatedSignal)
    if heard.worker != worker.id:
        worker.limits.debit_new_channels(heard.peer, heard.count)


def join(connection: Connection, channel: ChannelRecord) -> None:
    """Let the socket hear the channel, from now on."""
    if channel.id not in connection.channels:
        connection.channels[channel.id] = time.time()
        connection.worker.hear_channel(connection, channel.id)
        connection.worker.presence.update(connection)


def leave(connection: Connection, channel_id: int) -> None:
    """Let the socket hear the channel no more."""
    del connection.channels[channel_id]
    connection.worker.fanout.leave(connection, [ChannelTopic(channel_id)])
    connection.worker.presence.update(connection)
