"""Events of browsers. Lines and tells use the handlers of games, with the account as the player.

Source: docs/browser-chat.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared import chat_tokens
from shared.errors import AlreadyAuthenticated, InvalidCredentials
from shared.presence import find_listeners
from shared.protocol import encode_success
from shared.protocol.browser import (
    AskWhoHears,
    Beat,
    BrowserSignedIn,
    ListeningGame,
    MarkRead,
    Say,
    SendTellFromBrowser,
    SignInBrowser,
    WatchChannels,
    WatchingChannels,
    WhoHears,
)
from shared.protocol.channels import SendMessage
from shared.protocol.codes import Code, sentence
from shared.protocol.sync import ChannelRecord
from shared.protocol.tells import SendTell
from shared.services import chat_accounts, sessions
from worker.answers import ANSWERED, Deferred
from worker.chat.browser import BrowserConnection
from worker.handlers import channels, tells
from worker.parts import Parts

MAX_CHANNELS = 100  # for one page


def authenticate(
    parts: Parts, connection: BrowserConnection, request: SignInBrowser, ref: msgspec.Raw | None
) -> object:
    """Sign a browser in, and subscribe it to the channels it names. Skips channels that are hidden or do not exist.

    Sends the answer itself, since the first heartbeat must follow it at once. A banned account may read.

    Raises:
        AlreadyAuthenticated, InvalidCredentials.
        TooMany: the account has too many pages open.
        Banned: the address is banned, and the account is not a moderator's or an admin's.
    """
    if connection.chatter is not None or connection.is_reader:
        raise AlreadyAuthenticated(sentence(Code.ALREADY_AUTHENTICATED))
    token = chat_tokens.read_token(parts.settings.signing_keys, request.token)
    connection.claimed_id = f"user {token.user_id}"
    if not parts.browsers.use_up(token):
        raise InvalidCredentials("this token has already been used")
    accounts, ended = parts.database.read(
        lambda session: (
            chat_accounts.list_chat_accounts(session, [token.user_id]),
            sessions.list_ended(session, [token.session_number]),
        )
    )
    chatter = accounts.get(token.user_id)
    if chatter is None or chatter.mark != token.mark or ended:
        raise InvalidCredentials("the session has ended")
    visible = _visible_channels(parts, request.channels)
    success = BrowserSignedIn(username=chatter.username, channels=[channel.name for channel in visible])
    parts.browsers.require_room(chatter)
    parts.moderation.check_socket(None, connection.transport.address, user_id=chatter.id)
    connection.session_number = token.session_number
    connection.send(encode_success(success.event, ref, success))
    parts.browsers.admit(connection, chatter, visible)
    return ANSWERED


def watch(parts: Parts, connection: BrowserConnection, request: WatchChannels, ref: msgspec.Raw | None) -> object:
    """Let the page of a visitor, who is not signed in, read the channels it names.

    Sends the answer itself, since the first heartbeat must follow it at once.

    Raises:
        AlreadyAuthenticated.
        Banned: the address is banned.
        TooMany: too many visitors are reading at this worker.
    """
    if connection.chatter is not None or connection.is_reader:
        raise AlreadyAuthenticated(sentence(Code.ALREADY_AUTHENTICATED))
    parts.moderation.check_socket(None, connection.transport.address)
    visible = _visible_channels(parts, request.channels)
    parts.browsers.watch(connection, visible)
    answer = WatchingChannels(channels=[channel.name for channel in visible])
    connection.send(encode_success(answer.event, ref, answer))
    parts.browsers.welcome(connection)
    return ANSWERED


def _visible_channels(parts: Parts, names: Sequence[str]) -> list[ChannelRecord]:
    requested = [parts.directory.find_channel(name) for name in names[:MAX_CHANNELS]]
    return [channel for channel in requested if channel is not None and not channel.hidden]


def heartbeat(parts: Parts, connection: BrowserConnection, beat: Beat) -> None:
    """Handle the answer to a heartbeat, which shows that the page is still open."""
    connection.missed_heartbeats = 0


def say(parts: Parts, connection: BrowserConnection, request: Say) -> Deferred:
    """Send a line to a channel. Raises what `channels.send` raises."""
    assert connection.chatter is not None
    message = SendMessage(channel=request.channel, name=connection.chatter.username, message=request.message)
    return channels.send(parts, connection, message)


def tell(parts: Parts, connection: BrowserConnection, request: SendTellFromBrowser) -> None:
    """Send a tell to a player. Raises what `tells.send` raises."""
    assert connection.chatter is not None
    message = SendTell(
        from_name=connection.chatter.username,
        to_game=request.to_game,
        to_name=request.to_name,
        message=request.message,
    )
    tells.send(parts, connection, message)


def mark_read(parts: Parts, connection: BrowserConnection, request: MarkRead) -> None:
    """Store how far the person has read a channel. Raises NotSubscribed."""
    assert connection.chatter is not None
    channel = channels.require_subscribed(parts, connection, request.channel)
    parts.browsers.note_read(connection.chatter.id, channel.id, request.id)


def listeners(parts: Parts, connection: BrowserConnection, request: AskWhoHears) -> WhoHears:
    """Return who is subscribed to a channel and online. Raises NotSubscribed."""
    channel = channels.require_subscribed(parts, connection, request.channel)
    listening = find_listeners(parts.presence.sockets.values(), channel.id)
    return WhoHears(
        people=listening.people,
        people_count=listening.people_count,
        games=[ListeningGame(game=game, players=players) for game, players in listening.games],
    )
