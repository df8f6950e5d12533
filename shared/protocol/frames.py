"""Reads the envelope around every event forgivingly, and writes it compactly. Source: docs/protocol.md, §2 and §10.

Pure: no I/O, no clock. Only new refs are random.
"""

import json
from random import getrandbits
from typing import Any, NoReturn

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from shared.errors import DomainError
from shared.protocol.base import Outgoing
from shared.protocol.codes import Code
from shared.protocol.text import has_lone_surrogate

HEARTBEAT = b'{"event":"heartbeat"}'


class RawFrame(Struct, frozen=True, gc=False):
    """A frame whose payload is not decoded yet.

    ref: as the sender wrote it, to echo it exactly; None if there is none. payload: JSON; None if missing or null. Both
    are views of the message, so copy them to keep them longer.
    """

    event: str
    ref: Raw | None
    payload: Raw | None


class FrameError(DomainError):
    """A message that is not a frame. code: `not-json` or `invalid`.

    ref and event: as far as they could be read, for `encode_failure`; event is None if there is no usable one. The
    socket stays open.
    """

    def __init__(
        self,
        message: str,
        *,
        code: Code = Code.INVALID,
        field: str | None = None,
        event: str | None = None,
        ref: Raw | None = None,
    ) -> None:
        super().__init__(message, field=field)
        self.code = code
        self.event = event
        self.ref = ref


class _Envelope(Struct, gc=False):
    event: str | None = None
    events: str | None = None
    ref: Raw = Raw()
    payload: Raw = Raw()


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_BOM = b"\xef\xbb\xbf"
_QUOTE = ord('"')
_NUMBER_BEGINS = b"-0123456789"


def parse_frame(data: bytes | str) -> RawFrame:
    """Read the envelope of one message. Raises FrameError, and nothing else.

    Accepts a leading byte-order mark, white space, `events` as the key, extra keys, and a payload that is missing, null
    or not an object, which the event's own class checks (docs/protocol.md, §10). A null ref counts as none. Refuses a
    ref that is not a string or a number, or that contains half of a character.
    """
    try:
        if isinstance(data, str):
            data = data.encode()
        elif not data.isascii():
            data.decode()
    except UnicodeError:
        raise FrameError("not JSON: no valid UTF-8", code=Code.NOT_JSON) from None
    if data.startswith(_BOM):
        data = data[3:]
    try:
        envelope = _ENVELOPE.decode(data)
    except (ValueError, RecursionError):
        return _parse_forgivingly(data)
    event = envelope.event or envelope.events
    ref = _usable_ref(envelope.ref, event)
    if not event:
        raise _no_event(ref)
    payload = envelope.payload
    return RawFrame(event, ref, None if not payload or bytes(payload) == b"null" else payload)


def _usable_ref(ref: Raw, event: str | None) -> Raw | None:
    """Return the ref to echo, or None. Raises FrameError for a ref that cannot be echoed."""
    if not ref:
        return None
    text = bytes(ref)
    if text[0] == _QUOTE:
        if b"\\u" in text:
            try:
                msgspec.json.decode(text)
            except ValueError:
                raise _bad_ref(event) from None
        return ref
    if text[0] in _NUMBER_BEGINS:
        return ref
    if text == b"null":
        return None
    raise _bad_ref(event)


def _no_event(ref: Raw | None) -> FrameError:
    return FrameError('invalid frame: "event" must be a string', field="event", ref=ref)


def _bad_ref(event: str | None) -> FrameError:
    return FrameError('invalid frame: "ref" must be a string or a number', field="ref", event=event)


class _Number(str):
    """A number in a frame, exactly as written."""


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _parse_forgivingly(data: bytes) -> RawFrame:
    """Parse what msgspec refuses: wrong types, or halves of characters. Raises FrameError if it is not a frame."""
    text = data.decode()  # json.loads would mistake bytes with NULs for UTF-16
    try:
        frame: Any = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_not_a_number)
    except ValueError:
        raise FrameError("not JSON", code=Code.NOT_JSON) from None
    except RecursionError:
        raise FrameError("invalid frame: nested too deeply") from None
    if not isinstance(frame, dict):
        raise FrameError("invalid frame: it must be an object")
    event = next((name for name in (frame.get("event"), frame.get("events")) if _is_event(name)), None)
    raw_ref = frame.get("ref")
    ref: Raw | None = None
    if isinstance(raw_ref, _Number):
        ref = Raw(raw_ref.encode())
    elif isinstance(raw_ref, str) and not has_lone_surrogate(raw_ref):
        ref = Raw(msgspec.json.encode(raw_ref))
    elif raw_ref is not None:
        raise _bad_ref(event)
    if event is None:
        raise _no_event(ref)
    if frame.get("payload") is None:
        return RawFrame(event, ref, None)
    # In ASCII, halves of characters stay escaped, so that the event's own class can name the field with one.
    try:
        payload = json.dumps(json.loads(text)["payload"]).encode()
    except (ValueError, RecursionError):  # a whole number of more than 4,300 digits
        raise FrameError("invalid payload: a number is too long", field="payload", event=event, ref=ref) from None
    return RawFrame(event, ref, Raw(payload))


def _is_event(name: object) -> bool:
    return isinstance(name, str) and not isinstance(name, _Number) and name != "" and not has_lone_surrogate(name)


_VERSION_AND_VARIANT = (0x4 << 76) | (0x2 << 62)
_RANDOM_BITS = (1 << 128) - 1 - (0xF << 76) - (0x3 << 62)


def fresh_ref() -> str:
    """Return a random UUID (version 4), for events that are not answers. It is not a secret, and can be guessed."""
    text = "%032x" % (getrandbits(128) & _RANDOM_BITS | _VERSION_AND_VARIANT)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_encode = msgspec.json.Encoder().encode
_HEADS: dict[str, bytes] = {}


def _head(event: str) -> bytes:
    """Return the start of a frame, `{"event":…`. Caches short names, because few of them occur often."""
    head = _HEADS.get(event)
    if head is None:
        head = b'{"event":' + _encode(event)
        if len(event) <= 32 and len(_HEADS) < 128:
            _HEADS[event] = head
    return head


def encode(payload: Outgoing, ref: Raw | str | None = None) -> bytes:
    """Encode an event or an answer, depending on its class. If ref is None, events get a new one and answers none."""
    if payload.bare:
        raise TypeError("heartbeats and errors have no payload: HEARTBEAT, encode_failure")
    if payload.status is not None:
        return encode_success(payload.event, ref if isinstance(ref, Raw | None) else Raw(_encode(ref)), payload)
    return encode_event(payload.event, payload, ref)


def encode_event(event: str, payload: Struct | Raw | dict[str, Any], ref: Raw | str | None = None) -> bytes:
    """Encode an event that is not an answer. ref: text, or JSON as in `RawFrame`; None for a new one."""
    if ref is None:
        return b'%b,"ref":"%b","payload":%b}' % (_head(event), fresh_ref().encode(), _encode(payload))
    return b'%b,"ref":%b,"payload":%b}' % (_head(event), _encode(ref), _encode(payload))


def encode_answer(event: str, ref: Raw | None, payload: Struct | Raw | dict[str, Any]) -> bytes:
    """Encode an answer with a payload and without a status (`players/status`, `sync/…`)."""
    return b'%b%b,"payload":%b}' % (_head(event), _ref(ref), _encode(payload))


def encode_success(event: str, ref: Raw | None, payload: Struct | Raw | dict[str, Any] | UnsetType = UNSET) -> bytes:
    """Encode a success. Without a payload it has no such key: some clients rely on that to recognize an answer."""
    if payload is UNSET:
        return b'%b%b,"status":"success"}' % (_head(event), _ref(ref))
    return b'%b%b,"status":"success","payload":%b}' % (_head(event), _ref(ref), _encode(payload))


def encode_failure(
    event: str | None, ref: Raw | None, code: str, error: str, *, debug: bool = False, **extra: Any
) -> bytes:
    """Encode a failure.

    It carries the request's event if there is a ref to answer, if the socket is debugging, and for `authenticate`.
    Otherwise it is an `error` event with a new ref (docs/protocol.md, §2).

    Args:
        event: The request's event; None if it had no usable one.
        ref: The request's ref; None if it had no usable one.
        extra: Further keys, such as `retry_after_ms`.
    """
    if event is None or (ref is None and not debug and event != "authenticate"):
        event = "error"
        if ref is None:
            ref = Raw(_encode(fresh_ref()))
    body = _encode({"status": "failure", "error": error, "code": code, **extra})
    return b"%b%b,%b" % (_head(event), _ref(ref), body[1:])


def _ref(ref: Raw | None) -> bytes:
    return b"" if ref is None else b',"ref":%b' % bytes(ref)
