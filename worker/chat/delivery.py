"""Delivers stored lines to the subscribers of their channels."""

from __future__ import annotations

from shared import grapevine
from shared.peer_keys import PeerKey
from shared.protocol import encode_event
from shared.protocol.channels import Broadcast
from shared.signals import StoredLine
from worker.moderation.view import Moderation
from worker.network.directory import Directory
from worker.sockets.registry import Sockets
from worker.wire.broadcasts import Frames
from worker.wire.fanout import Fanout
from worker.wire.frames import frame_text
from worker.wire.groups import ChannelTopic


class Delivery:
    """Delivers lines to this worker's sockets, except those of the sender's game and those that mute the sender."""

    def __init__(self, directory: Directory, fanout: Fanout, moderation: Moderation, sockets: Sockets) -> None:
        self._directory = directory
        self._fanout = fanout
        self._moderation = moderation
        self._sockets = sockets

    def deliver(self, stored: StoredLine) -> Frames | None:
        """Broadcast a line. Return its frames, or None if the channel was just deleted."""
        line = stored.line
        channel = self._directory.channels.get(line.channel_id)
        if channel is None:
            return None
        frames = _frames(channel.name, stored)
        excluded = self._moderation.listeners.excluded_listeners(line.peer, line.game, line.name)
        self._fanout.broadcast(
            ChannelTopic(channel.id), frames, except_listener=_except_peer(line.peer), except_listeners=excluded
        )
        return frames

    def deliver_late(self, stored: StoredLine) -> None:
        """Send a line that this worker has missed to the sockets that were subscribed when it was stored."""
        line = stored.line
        channel = self._directory.channels.get(line.channel_id)
        if channel is None:
            return
        frames = _frames(channel.name, stored)
        excluded = self._moderation.listeners.excluded_listeners(line.peer, line.game, line.name)
        for connection in self._sockets.listeners(channel.id):
            subscribed_at = connection.channels.get(channel.id, connection.history_position)
            if connection.listener_key == _except_peer(line.peer) or connection.listener_key in excluded:
                continue
            if subscribed_at < stored.id:
                connection.transport.send(frames.framed(connection.variant))


def _except_peer(peer: PeerKey) -> PeerKey | None:
    """Return the peer that does not receive its own lines. Grapevine does: its sockets belong to different people."""
    return None if peer == grapevine.KEY else peer


def _frames(channel: str, stored: StoredLine) -> Frames:
    """Return a broadcast in both variants. Variant 1 (since version 2.4.0) also has `id` and `sent_at`."""
    line = stored.line
    broadcast = Broadcast(channel=channel, message=line.text, game=line.game, name=line.name)

    def encode(variant: int) -> bytes:
        payload = broadcast.in_history(stored.id, line.sent_at) if variant else broadcast
        return frame_text(encode_event(Broadcast.event, payload))

    return Frames(encode)
