"""A channel in a terminal: what is typed is said, what is said is printed."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TextIO

from gossip_client import requests
from gossip_client.errors import RequestFailed
from gossip_client.events import ChannelMessage, Connected, Disconnected, GapRemains, Restarting, SendDropped
from gossip_client.sync import Client

HELP = "Type a line to say it. /who: who is online. /quit, or the end of the input: leave."


def chat(
    url: str,
    client_id: str,
    secret: str,
    channel: str,
    name: str,
    *,
    seconds: float = 20.0,
    lines: TextIO | None = None,
) -> int:
    """Join a channel until the input ends. Returns the exit status."""
    client = Client(url, client_id, secret, channels=[channel], players=lambda: [name], user_agent="gossip-client chat")

    @client.on(ChannelMessage)
    def heard(said: ChannelMessage) -> None:
        when = said.sent_at.astimezone().strftime("%H:%M ") if said.is_missed and said.sent_at else ""
        _print(f"{when}[{said.channel}] {said.name}@{said.game}: {said.message}")

    @client.on(Connected)
    def connected(event: Connected) -> None:
        if event.is_again:
            _print("-- connected again")

    @client.on(Disconnected)
    def disconnected(event: Disconnected) -> None:
        if event.retry_in is not None:
            _print(f"-- {event.reason}; trying again in {event.retry_in:.0f} s")

    @client.on(Restarting)
    def restarting(event: Restarting) -> None:
        _print(f"-- the network restarts, back in about {event.downtime:.0f} s")

    @client.on(SendDropped)
    def dropped(event: SendDropped) -> None:
        _print(f"-- not said: {event.payload.get('message')} ({event.reason})")

    @client.on(GapRemains)
    def gap(event: GapRemains) -> None:
        _print(f"-- more was said on {event.channel} meanwhile than fits here")

    client.connect(seconds=seconds)
    with closing(client):
        try:
            client.subscribe(channel)
            _print(f"-- on {channel} as {name} (protocol {client.server_version}). {HELP}")
            for line in lines or sys.stdin:
                text = line.strip()
                if text == "/quit":
                    break
                if text == "/who":
                    for game, players in sorted(client.view.everyone().items()):
                        _print(f"   {game}: {', '.join(players) or 'nobody'}")
                elif text:
                    _say(client, channel, name, text)
        except KeyboardInterrupt:
            pass
    return 0


def _say(client: Client, channel: str, name: str, text: str) -> None:
    try:
        if client.is_connected:
            client.send(channel, name, text)
            return
    except RequestFailed as error:
        _print(f"-- not said: {error.text}")
        return
    client.post(requests.send(channel, name, text))  # SendDropped tells if it cannot be said
    _print("-- there is no connection now; it is said when there is one")


def _print(line: str) -> None:
    print(line, flush=True)
