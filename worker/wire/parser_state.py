"""Where the frame parser of `websockets` is. The library offers no public way to ask.

An idle connection must not keep a parser: it is most of what the connection costs. A parser may be passed on to another
connection only between frames, so this module looks at what its generator waits for.
"""

from __future__ import annotations

from collections.abc import Generator

from websockets.streams import StreamReader


def is_between_frames(parser: Generator[None, None, None]) -> bool:
    """Return whether a parser waits for the first byte of a frame.

    If a new version of the library waits elsewhere, this is always False, which only costs memory. A test notices.
    """
    waiting_in = getattr(parser, "gi_yieldfrom", None)
    return waiting_in is not None and waiting_in.gi_code is StreamReader.at_eof.__code__
