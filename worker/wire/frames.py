"""WebSocket frames as the worker sends them: one frame for each message, never masked. RFC 6455, section 5.2. Pure."""

import struct

_FIN_TEXT = 0x81
_pack_short = struct.Struct("!BB").pack
_pack_medium = struct.Struct("!BBH").pack
_pack_long = struct.Struct("!BBQ").pack


def frame_text(payload: bytes) -> bytes:
    """Return the text frame of a message.

    Args:
        payload: Valid UTF-8. It is not checked again.
    """
    length = len(payload)
    if length < 126:
        return _pack_short(_FIN_TEXT, length) + payload
    if length < 65536:
        return _pack_medium(_FIN_TEXT, 126, length) + payload
    return _pack_long(_FIN_TEXT, 127, length) + payload
