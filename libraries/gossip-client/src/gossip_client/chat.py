"""A channel in a terminal: what is typed is said, what is said is printed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing, suppress

from gossip_client import requests
from gossip_client.console import plain
from gossip_client.errors import Dropped, RequestFailed, RequestTimedOut
from gossip_client.events import ChannelMessage, Connected, Disconnected, GapRemains, Restarting, SendDropped
from gossip_client.sync import Client

HELP = "Type a line to say it. /who: who is online. /help: this line. /quit, or the end of the input: leave."


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
    """Join a channel until the input ends. Returns the exit status."""
    client = Client(url, client_id, secret, channels=[channel], players=lambda: [name], user_agent="gossip-client chat")

    @client.on(ChannelMessage)
    def heard(said: ChannelMessage) -> None:
        when = said.sent_at.astimezone().strftime("%H:%M ") if said.is_missed and said.sent_at else ""
        _print_event(f"{when}[{said.channel}] {said.name}@{said.game}: {said.message}")

    @client.on(Connected)
    def connected(event: Connected) -> None:
        if event.is_again:
            _print_event("-- connected again")

    @client.on(Disconnected)
    def disconnected(event: Disconnected) -> None:
        if event.retry_in is not None and client.server_version is not None:
            _print_event(f"-- {event.reason}; trying again in {event.retry_in:.0f} s")

    @client.on(Restarting)
    def restarting(event: Restarting) -> None:
        _print_event(f"-- the network restarts, back in about {event.downtime:.0f} s")

    @client.on(SendDropped)
    def dropped(event: SendDropped) -> None:
        _print_event(f"-- not said: {event.payload.get('message')} ({event.reason})")

    @client.on(GapRemains)
    def gap(event: GapRemains) -> None:
        _print_event(f"-- more was said on {event.channel} meanwhile than fits here")

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
                    _print(f"-- there is no command {text.split()[0]}, and nothing was said; to say it, type /{text}")
                elif text:
                    _say(client, channel, name, text.removeprefix("/") if text.startswith("//") else text)
        except KeyboardInterrupt:
            pass
    return 0


def _print_who(client: Client) -> None:
    everyone = client.view.everyone()
    if not everyone:
        _print("-- nobody is known to be online" if client.is_connected else "-- there is no connection now")
    for game, players in sorted(everyone.items()):
        _print(f"   {game}: {', '.join(players) or 'nobody'}")


def _say(client: Client, channel: str, name: str, text: str) -> None:
    if not client.is_connected:
        client.post(requests.send(channel, name, text))  # SendDropped tells if it cannot be said
        _print("-- there is no connection now; it is said when there is one")
        return
    try:
        client.send(channel, name, text)
    except RequestFailed as error:
        _print(f"-- not said: {error.text}")
    except RequestTimedOut:
        _print("-- the server did not answer: it may have been said, or not")
    except Dropped:
        pass  # SendDropped tells


def _print(line: str) -> None:
    print(plain(line), flush=True)


def _print_event(line: str) -> None:
    """As `_print`, from a handler: where nobody reads any more the next line that is typed finds it out."""
    with suppress(BrokenPipeError):
        _print(line)
