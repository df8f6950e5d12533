"""What the command lines of both libraries share: secrets, times, errors, and output to any terminal."""

from __future__ import annotations

import argparse
import getpass
import io
import os
import re
import sys
import warnings
from collections.abc import Callable

from gossip_client.errors import GossipError

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")
_MAX_SECONDS = 86_400.0


def seconds(text: str) -> float:
    """Read a time in seconds, for argparse."""
    value = float(text)
    if not 0 < value <= _MAX_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text} is not a valid time: give seconds, more than 0 and at most {_MAX_SECONDS:.0f}"
        )
    return value


def ask_secret() -> str:
    """Return the client secret, from the environment or the terminal.

    Raises:
        GossipError: There is none.
    """
    secret = os.environ.get("GOSSIP_CLIENT_SECRET")
    if not secret:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            try:
                secret = getpass.getpass("Client secret: ")
            except (getpass.GetPassWarning, EOFError):
                secret = ""  # there is no terminal, or it would show the secret
    if not secret.strip():
        raise GossipError("there is no client secret: set GOSSIP_CLIENT_SECRET, or type it in a terminal")
    return secret.strip()


def plain(text: str) -> str:
    """Return the text as one line without control characters. Not every server removes them from what people write."""
    return _CONTROLS.sub(" ", text)


def run(program: str, command: Callable[[], int], *errors: type[Exception]) -> int:
    """Run a command and return its exit status.

    Args:
        program: The program's name, for error messages.
        command: The command; returns its exit status.
        errors: Exceptions to print in one line, like GossipError.
    """
    expected: tuple[type[Exception], ...] = (GossipError, *errors)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # print ? for a letter that the terminal cannot show
    try:
        status = command()
        sys.stdout.flush()
        return status
    except expected as error:
        print(f"{program}: {plain(str(error))}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `… | head` has ended, which is not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
