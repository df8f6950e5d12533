"""What the consoles of these libraries share: the secret, times, and an output that may go away or know few letters."""

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
_LONGEST = 86_400.0


def seconds(text: str) -> float:
    """A time on the command line, for argparse."""
    value = float(text)
    if not 0 < value <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text} is no time: seconds, more than 0 and {_LONGEST:.0f} at most")
    return value


def ask_secret() -> str:
    """The client secret: from the environment, or typed. Raises GossipError where there is neither."""
    secret = os.environ.get("GOSSIP_CLIENT_SECRET")
    if not secret:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            try:
                secret = getpass.getpass("Client secret: ")
            except (getpass.GetPassWarning, EOFError):
                secret = ""  # no terminal here, and a secret is not read where it would be shown
    if not secret.strip():
        raise GossipError("there is no client secret: set GOSSIP_CLIENT_SECRET, or type it in a terminal")
    return secret.strip()


def plain(text: str) -> str:
    """The text as one line that moves no cursor: others wrote it, and not every server cleans what they write."""
    return _CONTROLS.sub(" ", text)


def run(program: str, command: Callable[[], int], *errors: type[Exception]) -> int:
    """Run a command and return its exit status. GossipError and `errors` are said in one line."""
    said_in_one_line: tuple[type[Exception], ...] = (GossipError, *errors)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that does not know a letter shows another
    try:
        status = command()
        sys.stdout.flush()
        return status
    except said_in_one_line as error:
        print(f"{program}: {plain(str(error))}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `… | head`: nobody reads any more, which is no fault
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
