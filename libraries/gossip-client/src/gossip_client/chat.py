"""A channel in a terminal: sends the lines that are typed, and prints the messages of others."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing, suppress

from gossip_client import requests
from gossip_client.console import plain
from gossip_client.errors import Dropped, RequestFailed, RequestTimedOut
from gossip_client.events import ChannelMessage, Connected, Disconnected, GapRemains, Restarting, SendDropped
from gossip_client.sync import Client

HELP = "Type a line to say it. /who shows who is online, /help shows this line, /quit leaves."


def chat(
    url: str,
    client_id: str,
    secret: str,
    channel: str,
    name: str,
    *,
    seconds: float = 20.0,
    lines: Iterable[str] | None = None,
) -> int:
    """Join a channel until the input ends.

    Args:
        url: The network's socket.
        client_id: The game's client id.
        secret: The game's client secret.
        channel: The channel to join.
        name: The player's name.
        seconds: How long to wait for the connection.
        lines: The input; standard input by default.

    Returns:
        The exit status.

    Raises:
        GossipError: The client could not connect or subscribe.
    """
    client = Client(url, client_id, secret, channels=[channel], players=lambda: [name])

    @client.on(ChannelMessage)
    def print_message(line: ChannelMessage) -> None:
        time = line.sent_at.astimezone().strftime("%H:%M ") if line.is_missed and line.sent_at else ""
        _print_event(f"{time}[{line.channel}] {line.name}@{line.game}: {line.message}")

    @client.on(Connected)
    def print_connected(event: Connected) -> None:
        if event.is_again:
            _print_event("-- connected again")

    @client.on(Disconnected)
    def print_disconnected(event: Disconnected) -> None:
        if event.retry_in is not None and client.server_version is not None:
            _print_event(f"-- {event.reason}; trying again in {event.retry_in:.0f} s")

    @client.on(Restarting)
    def print_restart(event: Restarting) -> None:
        _print_event(f"-- the network is restarting and will be back in about {event.downtime:.0f} s")

    @client.on(SendDropped)
    def print_dropped(event: SendDropped) -> None:
        _print_event(f"-- not said: {event.payload.get('message')} ({event.reason})")

    @client.on(GapRemains)
    def print_gap(event: GapRemains) -> None:
        _print_event(f"-- some older messages on {event.channel} are not shown")

    client.connect(seconds=seconds)
    with closing(client):
        try:
            client.subscribe(channel)
            _print(f"-- on {channel} as {name} (protocol {client.server_version}). {HELP}")
            for line in sys.stdin if lines is None else lines:
                text = line.strip()
                if text == "/quit":
                    break
                if text == "/who":
                    _print_who(client)
                elif text == "/help":
                    _print(f"-- {HELP}")
                elif text.startswith("/") and not text.startswith("//"):
                    _print(f"-- there is no command {text.split()[0]}; to say this line, type /{text}")
                elif text:
                    _say(client, channel, name, text.removeprefix("/") if text.startswith("//") else text)
        except KeyboardInterrupt:
            pass
    return 0


def _print_who(client: Client) -> None:
    everyone = client.view.everyone()
    if not everyone:
        _print("-- nobody else is online" if client.is_connected else "-- there is no connection now")
    for game, players in sorted(everyone.items()):
        _print(f"   {game}: {', '.join(players) or 'nobody'}")


def _say(client: Client, channel: str, name: str, text: str) -> None:
    if not client.is_connected:
        client.post(requests.send(channel, name, text))  # SendDropped reports a failure
        _print("-- there is no connection now; the line will be sent when there is one")
        return
    try:
        client.send(channel, name, text)
    except RequestFailed as error:
        _print(f"-- not said: {error.text}")
    except RequestTimedOut:
        _print("-- the server did not answer: the line may or may not have been said")
    except Dropped:
        pass  # SendDropped has been printed


def _print(line: str) -> None:
    print(plain(line), flush=True)


def _print_event(line: str) -> None:
    """Print from a handler. Ignore a closed output: the main thread notices it at the next line that is typed."""
    with suppress(BrokenPipeError):
        _print(line)
