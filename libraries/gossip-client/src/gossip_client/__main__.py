"""The command line: `python -m gossip_client chat …` and `python -m gossip_client doctor …`."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence

from gossip_client import __version__, console


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return its exit status: 0 for success, 1 for failure, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="gossip_client", description="Connect to the Gossip network from a terminal.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    chat = commands.add_parser("chat", help="talk on a channel: each line is a message")
    doctor = commands.add_parser("doctor", help="check a game's connection step by step")
    for command in (chat, doctor):
        command.add_argument(
            "--url", required=True, help="the address of the network's socket: wss://example.com/socket"
        )
        command.add_argument(
            "--client-id", required=True, help="the game's client id (set the secret with GOSSIP_CLIENT_SECRET)"
        )
        command.add_argument("--channel", default="gossip", help="the channel (default: gossip)")
        command.add_argument(
            "--timeout",
            type=console.seconds,
            default=20.0,
            metavar="SECONDS",
            help="how long each step may take (default: 20)",
        )
    chat.add_argument("--name", default=_user_name(), help="the player's name (default: your user name)")
    options = parser.parse_args(arguments)
    options.url, options.client_id = options.url.strip(), options.client_id.strip()  # people copy them with spaces
    return console.run("gossip_client", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    secret = console.ask_secret()
    if options.command == "chat":
        from gossip_client.chat import chat

        return chat(options.url, options.client_id, secret, options.channel, options.name, seconds=options.timeout)
    from gossip_client.doctor import examine

    return examine(options.url, options.client_id, secret, options.channel, seconds=options.timeout)


def _user_name() -> str:
    try:
        return getpass.getuser().capitalize()
    except (KeyError, OSError):
        return "Player"


if __name__ == "__main__":
    sys.exit(main())
