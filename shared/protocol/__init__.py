"""The frames of the socket protocol as plain typed values. Source: docs/protocol.md. Pure: no I/O, no clock.

`frames` reads and writes the envelope, `events` lists every event with its class, `base.decode_payload` decodes a
payload, and each support flag has a module. Nothing here knows about sockets, databases or the time.
"""

from shared.protocol.base import Incoming, Outgoing, decode_payload
from shared.protocol.codes import Code
from shared.protocol.events import INCOMING, OUTGOING
from shared.protocol.frames import (
    HEARTBEAT,
    FrameError,
    RawFrame,
    encode,
    encode_answer,
    encode_event,
    encode_failure,
    encode_success,
    fresh_ref,
    parse_frame,
)
from shared.protocol.types import at_least

__all__ = [
    "HEARTBEAT",
    "INCOMING",
    "OUTGOING",
    "Code",
    "FrameError",
    "Incoming",
    "Outgoing",
    "RawFrame",
    "at_least",
    "decode_payload",
    "encode",
    "encode_answer",
    "encode_event",
    "encode_failure",
    "encode_success",
    "fresh_ref",
    "parse_frame",
]
