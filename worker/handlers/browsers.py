"""What browsers send: the same deeds as games', by the same handlers, for the account that has signed in.

Source: docs/browser-chat.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    WhoHears,
)
from shared.protocol.channels import SendMessage
from shared.protocol.codes import Code, sentence
from shared.protocol.tells import SendTell
from shared.services import chatters, sessions
from worker.answers import ANSWERED, Deferred
from worker.handlers import channels, tells

if TYPE_CHECKING:
    from worker.chat.browser import BrowserConnection

CHANNELS_AT_MOST = 100  # that one page may hear


def authenticate(connection: BrowserConnection, request: SignInBrowser, ref: msgspec.Raw | None) -> object:
    """Let a browser in. Answers by itself: the first heartbeat follows the answer at once.

    Channels that are hidden or not there are left out. Raises AlreadyAuthenticated, InvalidCredentials, TooMany, Banned
    (the address; a banned account may read).
    """
    if connection.chatter is not None:
        raise AlreadyAuthenticated(sentence(Code.ALREADY_AUTHENTICATED))
    worker = connection.worker
    token = chat_tokens.read_token(worker.settings.secret_key, request.token)
    connection.claimed_id = f"user {token.user_id}"
    if not worker.browsers.use_up(token):
        raise InvalidCredentials("this token was used already")
    known, ended = worker.database.read(
        lambda session: (
            chatters.list_chatters(session, [token.user_id]),
            sessions.list_ended(session, [token.session_number]),
        )
    )
    chatter = known.get(token.user_id)
    if chatter is None or chatter.mark != token.mark or ended:
        raise InvalidCredentials("the session has ended")
    found = [worker.directory.find_channel(name) for name in request.channels[:CHANNELS_AT_MOST]]
    visible = [channel for channel in found if channel is not None and not channel.hidden]
    success = BrowserSignedIn(username=chatter.username, channels=[channel.name for channel in visible])
    worker.browsers.require_room(chatter)
    worker.moderation.check_socket(None, connection.transport.address)
    connection.session_number = token.session_number
    connection.send(encode_success(success.event, ref, success))
    worker.browsers.admit(connection, chatter, visible)
    return ANSWERED


def heartbeat(connection: BrowserConnection, beat: Beat) -> None:
    """The answer to a heartbeat: the page is still open."""
    connection.missed_heartbeats = 0


def say(connection: BrowserConnection, request: Say) -> Deferred:
    """Say something on a channel, as a player of a game does. Raises what `channels.send` raises."""
    assert connection.chatter is not None
    message = SendMessage(channel=request.channel, name=connection.chatter.username, message=request.message)
    return channels.send(connection, message)


def tell(connection: BrowserConnection, request: SendTellFromBrowser) -> None:
    """Tell a player something, as a player of a game does. Raises what `tells.send` raises."""
    assert connection.chatter is not None
    told = SendTell(
        from_name=connection.chatter.username,
        to_game=request.to_game,
        to_name=request.to_name,
        message=request.message,
    )
    tells.send(connection, told)


def mark_read(connection: BrowserConnection, request: MarkRead) -> None:
    """Note how far the person has read. Raises NotSubscribed."""
    assert connection.chatter is not None
    channel = channels.require_subscribed(connection, request.channel)
    connection.worker.browsers.note_read(connection.chatter.id, channel.id, request.id)


def listeners(connection: BrowserConnection, request: AskWhoHears) -> WhoHears:
    """Who hears a channel now. Raises NotSubscribed."""
    channel = channels.require_subscribed(connection, request.channel)
    found = find_listeners(connection.worker.presence.sockets.values(), channel.id)
    return WhoHears(
        people=found.people,
        people_count=found.people_count,
        games=[ListeningGame(game=game, players=players) for game, players in found.games],
    )
