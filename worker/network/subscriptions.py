"""Subscribes sockets to channels. No other module does, so that the socket, the fan-out and presence agree."""

from __future__ import annotations

from worker.network.presence import Presence
from worker.sockets.connection import Connection
from worker.sockets.registry import Sockets
from worker.wire.fanout import Fanout
from worker.wire.groups import ChannelTopic


class Subscriptions:
    """The channel subscriptions of this worker's sockets."""

    def __init__(self, sockets: Sockets, fanout: Fanout, presence: Presence) -> None:
        self._sockets = sockets
        self._fanout = fanout
        self._presence = presence

    def join(self, connection: Connection, channel_id: int) -> None:
        """Subscribe a socket to a channel. Does nothing if it is subscribed already."""
        if channel_id in connection.channels:
            return
        connection.channels[channel_id] = self._sockets.history_position
        if not connection.is_application:  # applications receive every channel anyway
            self._fanout.join(connection, [ChannelTopic(channel_id)])
        self._presence.update(connection)

    def leave(self, connection: Connection, channel_id: int) -> None:
        """Unsubscribe a socket from a channel. Does nothing if it is not subscribed."""
        if connection.channels.pop(channel_id, None) is not None:
            self._fanout.leave(connection, [ChannelTopic(channel_id)])
            self._presence.update(connection)

    def remove_channel(self, channel_id: int) -> None:
        """Unsubscribe every socket from a deleted channel."""
        for connection in self._sockets.listeners(channel_id):
            self.leave(connection, channel_id)
