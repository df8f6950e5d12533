"""The client's channels: its subscriptions, and the messages it missed while it was away. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from gossip_client import requests
from gossip_client.config import Config
from gossip_client.errors import GossipError, RequestFailed
from gossip_client.events import ChannelMessage, ErrorReported, Event, GapRemains, HistoryPage
from gossip_client.requests import Request
from gossip_client.session import Session

_LATE_SECONDS = 60.0  # how long after it was stored a message may arrive
_MARK_SECONDS = 1.0
_MESSAGES_HELD = 5_000
_OWN_LINES_REMEMBERED = 500
_PAGE_SIZE = 100

AskInBackground = Callable[[Request[Any], float, Callable[[Any], None]], None]
Send = Callable[[Request[Any], float], None]
Emit = Callable[[Event], None]


class Channel:
    """One channel: whether to subscribe to it, and which of its messages have been delivered.

    Messages are recognised by their ids. Those of two workers may arrive out of order, so a message with a greater id
    does not prove that all earlier ones have arrived. The server promises that each message arrives within a minute
    after it was stored (docs/protocol.md, section 4). So all messages up to the greatest id of a minute ago have
    arrived, and the history is read from there.
    """

    def __init__(self, name: str, *, is_subscribed: bool) -> None:
        self.name = name
        self.is_subscribed = is_subscribed
        self.is_filling = False
        self.newest: int | None = None
        self.read_after = 0  # every message up to this id has been delivered, or is older than the subscription
        self._ids: set[int] = set()  # the greater ids of messages that have been delivered
        self._marks: deque[tuple[float, int]] = deque()  # a time, and the greatest id at that time
        self._held: deque[ChannelMessage] = deque(maxlen=_MESSAGES_HELD)

    def start_at(self, newest: int) -> None:
        """Treat everything up to this id as older than the subscription."""
        self.read_after = newest
        self.newest = max(newest, self.newest or 0)

    def receive(self, message: ChannelMessage, now: float) -> bool:
        """Note a message. Return whether to deliver it now: False if it is a repeat, or must wait for the history."""
        if message.id is None:
            return True
        if self.is_filling and not message.is_missed:
            self._held.append(message)
            return False
        if message.id in self._ids or (message.is_missed and message.id <= self.read_after):
            return False
        if self.newest is None:
            self.read_after = message.id - 1
        self._mark(now)
        self.newest = max(message.id, self.newest or 0)
        self._ids.add(message.id)
        return True

    def finish_filling(self, now: float, *, read_up_to: int) -> Iterable[ChannelMessage]:
        """Stop holding messages back. Return those that arrived meanwhile and are new.

        Args:
            read_up_to: The id up to which the history was read without a gap.
        """
        self.is_filling = False
        held = list(self._held)
        self._held.clear()
        messages = [message for message in held if self.receive(message, now)]
        self._settle(read_up_to)
        return messages

    def abandon_filling(self) -> None:
        """Forget the messages held back: the next connection reads them from the history."""
        self.is_filling = False
        self._held.clear()

    def _mark(self, now: float) -> None:
        if self.newest is not None and (not self._marks or now >= self._marks[-1][0] + _MARK_SECONDS):
            self._marks.append((now, self.newest))
        while self._marks and self._marks[0][0] <= now - _LATE_SECONDS:
            self._settle(self._marks.popleft()[1])

    def _settle(self, message_id: int) -> None:
        if message_id > self.read_after:
            self.read_after = message_id
            self._ids = {number for number in self._ids if number > message_id}


class Channels:
    """All channels of a client. Reads missed messages from the history before it delivers new ones."""

    def __init__(
        self, config: Config, session: Session, *, send: Send, ask_in_background: AskInBackground, emit: Emit
    ) -> None:
        self._config = config
        self._session = session
        self._send = send
        self._ask_in_background = ask_in_background
        self._emit = emit
        self._channels = {name.lower(): Channel(name, is_subscribed=True) for name in config.channels}
        self._own_lines: deque[tuple[str, str, str]] = deque(maxlen=_OWN_LINES_REMEMBERED)
        self._fill_count = 0
        self._retries: list[tuple[float, Callable[[float], None]]] = []

    @property
    def names(self) -> list[str]:
        """The names of the channels to subscribe to."""
        return [channel.name for channel in self._channels.values() if channel.is_subscribed]

    @property
    def is_filling(self) -> bool:
        """Whether missed messages are being read."""
        return self._fill_count > 0

    @property
    def has_retries(self) -> bool:
        """Whether a read of the history waits for a rate limit."""
        return bool(self._retries)

    # Subscriptions

    def add(self, name: str) -> None:
        """Subscribe to a channel from now on."""
        self._get(name).is_subscribed = True

    def remove(self, name: str) -> None:
        """Stop subscribing to a channel."""
        channel = self._channels.pop(name.lower(), None)
        if channel is not None and channel.is_filling:
            channel.abandon_filling()
            self._fill_count -= 1

    def send_changes(self, refused: Collection[str], now: float) -> None:
        """After an authentication, remove the channels it refused, and send what has changed since it was sent."""

        def report_failure(request: Request[None]) -> None:
            if isinstance(request.error, RequestFailed):  # no caller waits for the answer
                self._emit(ErrorReported(request.error.text, request.error.code))

        for name in refused:
            self.remove(name)
        offered = {name.lower(): name for name in self._session.offered_channels}
        current = {name.lower(): name for name in self.names}
        for key in current.keys() - offered.keys():
            request = requests.subscribe(current[key])
            request.on_done = report_failure
            self._send(request, now)
        for key in offered.keys() - current.keys() - {name.lower() for name in refused}:
            self._send(requests.unsubscribe(offered[key]), now)

    def subscribed(self, name: str, error: GossipError | None, now: float) -> None:
        """Handle the answer to a subscription."""
        if isinstance(error, RequestFailed):
            self.remove(name)
        elif error is None and self._reads_history and self._get(name).newest is None:
            self._find_newest(self._get(name), now)

    # Messages

    def receive(self, message: ChannelMessage) -> bool:
        """Note a message that was just said. Return whether to deliver it now."""
        return self._get(message.channel).receive(message, self._session.received_at)

    def note_own_line(self, payload: Mapping[str, Any]) -> None:
        """Remember a line this client sends, to recognise it in the history."""
        channel, name, message = (str(payload.get(key)) for key in ("channel", "name", "message"))
        self._own_lines.append((channel.lower(), name, message.strip()))

    def catch_up(self, now: float) -> None:
        """Read what was missed on each channel since the last connection."""
        if not self._reads_history:
            return
        for channel in self._channels.values():
            if channel.newest is None:
                self._find_newest(channel, now)
            else:
                channel.is_filling = True
                self._fill_count += 1
                self._read_page(channel, channel.read_after, self._config.history_pages * _PAGE_SIZE, now)

    def connection_lost(self) -> None:
        """Forget the reads of the history that were under way."""
        self._fill_count = 0
        self._retries.clear()
        for channel in self._channels.values():
            channel.abandon_filling()

    def tick(self, now: float) -> None:
        """Repeat the reads of the history whose rate limit is over."""
        due = [retry for at, retry in self._retries if at <= now]
        self._retries = [(at, retry) for at, retry in self._retries if at > now]
        for retry in due:
            retry(now)

    def wakes_at(self) -> float | None:
        """Return when the next retry is due, or None."""
        return min((at for at, _ in self._retries), default=None)

    @property
    def _reads_history(self) -> bool:
        return self._session.has_history and self._config.fills_gaps

    def _get(self, name: str) -> Channel:
        channel = self._channels.get(name.lower())
        if channel is None:
            channel = self._channels[name.lower()] = Channel(name, is_subscribed=False)
        return channel

    def _find_newest(self, channel: Channel, now: float) -> None:
        """Find where the history ends now, so that a later gap has a beginning."""

        def start(page: HistoryPage) -> None:
            channel.start_at(max((message.id or 0 for message in page.messages), default=0))

        self._ask_in_background(requests.history(channel.name, before=None, after=None, limit=1), now, start)

    def _read_page(self, channel: Channel, after: int, lines: int, now: float) -> None:
        """Read at most this many new lines of the history after an id. The server may return less than a whole page."""

        def handle(request: Request[HistoryPage]) -> None:
            if not channel.is_filling:
                return  # the connection was lost, or the channel removed
            error = request.error
            if isinstance(error, RequestFailed) and error.retry_after is not None:
                retry_at = self._session.received_at + max(0.1, error.retry_after)
                self._retries.append((retry_at, lambda now: self._read_page(channel, after, lines, now)))
                return
            now = self._session.received_at
            page = _page_of(request)
            last = after
            if page is None:
                self._emit(GapRemains(channel.name, after))
            else:
                new = [message for message in page.messages if channel.receive(message, now)]
                for message in new:
                    if not self._is_own(message):
                        self._emit(message)
                last = max((message.id or 0 for message in page.messages), default=after)
                if page.more and page.messages:
                    lines_left = lines - len(new)
                    if lines_left > 0 and last > after:
                        self._read_page(channel, last, lines_left, now)
                        return
                    self._emit(GapRemains(channel.name, last))
            self._fill_count -= 1
            for message in channel.finish_filling(now, read_up_to=last):
                self._emit(message)

        request = requests.history(channel.name, before=None, after=after, limit=_PAGE_SIZE)
        request.on_done = handle
        self._send(request, now)

    def _is_own(self, message: ChannelMessage) -> bool:
        if self._config.game is not None:
            return message.game.lower() == self._config.game.lower()
        return (message.channel.lower(), message.name, message.message.strip()) in self._own_lines


def _page_of(request: Request[HistoryPage]) -> HistoryPage | None:
    try:
        return request.result()
    except GossipError:
        return None
