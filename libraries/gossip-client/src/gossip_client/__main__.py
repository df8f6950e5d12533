"""The command line: `python -m gossip_client` with `chat`, `doctor`, `bench` or `replay`."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gossip_client import __version__, console


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return its exit status: 0 for success, 1 for failure, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="gossip_client", description="Connect to the Gossip network from a terminal.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    chat = commands.add_parser("chat", help="talk on a channel: each line is a message")
    doctor = commands.add_parser("doctor", help="check a game's connection step by step")
    replay = commands.add_parser("replay", help="send what a recorded client sent to any server")
    for command in (chat, doctor, replay):
        command.add_argument(
            "--url", required=True, help="the address of the network's socket: wss://example.com/socket"
        )
        command.add_argument(
            "--client-id",
            required=command is not replay,
            help="the game's client id (set the secret with GOSSIP_CLIENT_SECRET)",
        )
        command.add_argument(
            "--timeout",
            type=console.seconds,
            default=20.0,
            metavar="SECONDS",
            help="how long each step may take (default: 20)",
        )
    for command in (chat, doctor):
        command.add_argument("--channel", default="gossip", help="the channel (default: gossip)")
    replay.add_argument("file", type=Path, metavar="FILE", help="a recording, such as bench --record makes")
    _add_bench(commands)
    chat.add_argument("--name", default=_user_name(), help="the player's name (default: your user name)")
    options = parser.parse_args(arguments)
    for name in ("url", "client_id"):
        if getattr(options, name, None):
            setattr(options, name, getattr(options, name).strip())  # people copy them with spaces
    return console.run("gossip_client", lambda: _run(options))


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser("bench", help="play the network to a client that you are writing, and check it")
    bench.add_argument("--listen", type=_port, default=4120, metavar="PORT", help="the port (default: 4120)")
    bench.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    bench.add_argument(
        "--turn",
        type=console.seconds,
        default=30.0,
        metavar="SECONDS",
        help="how long to wait for a line, a tell and so on from your client (default: 30)",
    )
    bench.add_argument(
        "--patience",
        type=console.seconds,
        default=120.0,
        metavar="SECONDS",
        help="how long your client may take to connect, and to come back (default: 120)",
    )
    bench.add_argument("--record", type=Path, metavar="FILE", help="write a recording, for replay")


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: give a number from 1 to 65535")
    return port


def _run(options: argparse.Namespace) -> int:
    if options.command == "bench":
        from gossip_client.bench.script import Times, run_bench

        times = Times(patience=options.patience, turn=options.turn)
        return run_bench(options.host, options.listen, times, record=options.record)
    if options.command == "replay":
        from gossip_client.replay import replay

        secret = console.ask_secret() if options.client_id else None
        return replay(options.url, options.file, options.client_id, secret, seconds=options.timeout)
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
