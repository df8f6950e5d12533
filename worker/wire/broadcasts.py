"""What a broadcast sends: ready frames for each variant of its receivers, joined in pieces."""

import logging
from collections.abc import Callable, Hashable
from typing import NamedTuple

log = logging.getLogger(__name__)

# A batch is written in pieces of about this size. Each piece goes to all sockets, followed by a turn of the event loop.
# So a client that keeps up never has more than a piece or two queued, however much is broadcast at once.
PIECE_BYTES = 128 * 1024


class Frames:
    """One broadcast as ready WebSocket frames, one for each variant of the receivers."""

    __slots__ = ("_encode", "_framed")

    def __init__(self, encode: Callable[[int], bytes]) -> None:
        """Frame the broadcast when it is needed.

        Args:
            encode: Returns the frame for a variant, or empty bytes if sockets of this variant receive nothing. It is
                called at most once for each variant, in the flusher, and must not block. If it raises, the error is
                logged and the variant receives nothing.
        """
        self._encode = encode
        self._framed: dict[int, bytes] = {}

    @classmethod
    def same(cls, framed: bytes) -> "Frames":
        """Use the same bytes for every variant."""
        return cls(lambda variant: framed)

    def framed(self, variant: int) -> bytes:
        """Return the frame for a variant, empty if its sockets receive nothing."""
        framed = self._framed.get(variant)
        if framed is None:
            try:
                framed = self._encode(variant)
            except Exception:
                log.exception("a broadcast could not be encoded for variant %s", variant)
                framed = b""
            self._framed[variant] = framed
        return framed


class Broadcast(NamedTuple):
    """A broadcast in the fan-out's queue, with the listener keys that it excludes."""

    topic: Hashable
    frames: Frames
    except_listener: Hashable
    except_listeners: frozenset[Hashable]

    def excludes(self, key: Hashable) -> bool:
        """Return whether sockets with this listener key do not receive it."""
        return key is not None and (key == self.except_listener or key in self.except_listeners)


def join_in_pieces(frames: list[bytes]) -> list[bytes]:
    """Join frames into pieces of at most PIECE_BYTES. A longer frame is a piece by itself."""
    joined = b"".join(frames)
    if len(joined) <= PIECE_BYTES or len(frames) == 1:
        return [joined]
    pieces, first, size = [], 0, 0
    for number, frame in enumerate(frames):
        if size and size + len(frame) > PIECE_BYTES:
            pieces.append(b"".join(frames[first:number]))
            first, size = number, 0
        size += len(frame)
    pieces.append(b"".join(frames[first:]))
    return pieces
