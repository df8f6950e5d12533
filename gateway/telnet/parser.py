"""Splits what a game sends into text, commands, negotiations and subnegotiations. Inflates MCCP2.

Takes whatever bytes arrive, and never raises for them, except for damaged compression. It keeps at most one
subnegotiation of MAX_SUBNEGOTIATION bytes in memory. Compressed bytes may inflate a thousandfold, so tokens are yielded
one by one, each with at most INFLATED_BYTES of text: the caller can pause in between.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from gateway.telnet.options import DO, DONT, IAC, MCCP2, SB, SE, WILL, WONT

MAX_SUBNEGOTIATION = 64 * 1024
INFLATED_BYTES = 16 * 1024


class DamagedCompression(Exception):
    """The compressed stream cannot be inflated, so nothing after it can be read."""


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes for the player."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Command:
    """A command without an option, such as GA."""

    number: int


@dataclass(frozen=True, slots=True)
class Negotiation:
    """WILL, WONT, DO or DONT with an option."""

    command: int
    option: int


@dataclass(frozen=True, slots=True)
class Subnegotiation:
    """The content of a subnegotiation, without doubled IACs."""

    option: int
    content: bytes


Token = Data | Command | Negotiation | Subnegotiation


class _State(Enum):
    DATA = auto()
    COMMAND = auto()
    OPTION = auto()
    SUB_OPTION = auto()
    SUB = auto()
    SUB_COMMAND = auto()


class Parser:
    """Holds the state between two reads."""

    def __init__(self) -> None:
        self._state = _State.DATA
        self._command = 0
        self._option = 0
        self._content = bytearray()
        self._is_too_long = False
        self._inflater: zlib._Decompress | None = None
        self._may_inflate = False

    def allow_compression(self, allowed: bool) -> None:
        """Say whether MCCP2 has been agreed. Otherwise its subnegotiation starts nothing."""
        self._may_inflate = allowed

    @property
    def is_compressed(self) -> bool:
        """Whether the game compresses what it sends."""
        return self._inflater is not None

    def feed(self, data: bytes) -> Iterator[Token]:
        """Yield the tokens in these bytes. The generator must be read to its end before the next call.

        Raises:
            DamagedCompression: The stream cannot be inflated.
        """
        while data:
            if self._inflater is None:
                used = yield from self._parse(data)
                data = data[used:]
            else:
                data = yield from self._inflate(self._inflater, data)

    def _inflate(self, inflater: zlib._Decompress, data: bytes) -> Generator[Token, None, bytes]:
        """Yield the tokens in compressed bytes. Return what follows the end of the compression."""
        while not inflater.eof:
            try:
                plain = inflater.decompress(data, INFLATED_BYTES)
            except zlib.error as error:
                raise DamagedCompression(str(error)) from None
            data = inflater.unconsumed_tail
            yield from self._parse(plain)
            if not data and len(plain) < INFLATED_BYTES and not inflater.eof:
                return b""
        self._inflater = None
        return inflater.unused_data

    def _parse(self, data: bytes) -> Generator[Token, None, int]:
        """Yield the tokens in plain bytes, up to the start of compression. Return how many bytes were used."""
        position, length = 0, len(data)
        while position < length:
            if self._state is _State.DATA:
                end = data.find(IAC, position)
                end = length if end < 0 else end
                if end > position:
                    yield Data(data[position:end])
                position = end + 1
                if end < length:
                    self._state = _State.COMMAND
                continue
            if self._state is _State.SUB:
                end = data.find(IAC, position)
                end = length if end < 0 else end
                self._keep(data[position:end])
                position = end + 1
                if end < length:
                    self._state = _State.SUB_COMMAND
                continue
            byte = data[position]
            position += 1
            if self._state is _State.COMMAND:
                token = self._after_iac(byte)
                if token is not None:
                    yield token
            elif self._state is _State.OPTION:
                self._state = _State.DATA
                yield Negotiation(self._command, byte)
            elif self._state is _State.SUB_OPTION:
                if byte == IAC:  # a subnegotiation about nothing
                    self._state = _State.COMMAND
                else:
                    self._option, self._state, self._is_too_long = byte, _State.SUB, False
                    self._content.clear()
            elif byte == IAC:
                self._keep(b"\xff")
                self._state = _State.SUB
            elif byte == SE:
                self._state = _State.DATA
                if self._option == MCCP2 and self._may_inflate and self._inflater is None:
                    self._inflater = zlib.decompressobj()
                    return position
                if not self._is_too_long:
                    yield Subnegotiation(self._option, bytes(self._content))
                self._content.clear()
            else:  # the end is missing: drop the content, and obey the command
                self._content.clear()
                token = self._after_iac(byte)
                if token is not None:
                    yield token
        return position

    def _after_iac(self, byte: int) -> Token | None:
        self._state = _State.DATA
        if byte == IAC:
            return Data(b"\xff")
        if byte in (DO, DONT, WILL, WONT):
            self._command, self._state = byte, _State.OPTION
            return None
        if byte == SB:
            self._state = _State.SUB_OPTION
            return None
        return Command(byte)

    def _keep(self, part: bytes) -> None:
        if len(self._content) + len(part) > MAX_SUBNEGOTIATION:
            self._is_too_long = True
            self._content.clear()
        if not self._is_too_long:
            self._content += part
