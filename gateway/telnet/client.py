"""A telnet client without I/O: `receive` turns bytes into events, and `take_output` returns what to send.

It asks for nothing by itself. It switches on what the game offers and the client supports, answers, and refuses
everything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.telnet import mssp
from gateway.telnet import options as t
from gateway.telnet.encodings import Decoder, encode, find_encoding
from gateway.telnet.negotiation import Change, Negotiator
from gateway.telnet.parser import Command, Data, Negotiation, Parser, Subnegotiation

MAX_SIDE = 500  # columns and rows
OURS = (t.SGA, t.TTYPE, t.NAWS, t.NEW_ENVIRON, t.CHARSET)
THEIRS = (t.ECHO, t.SGA, t.EOR, t.CHARSET, t.MSSP, t.MCCP2, t.GMCP)
GMCP_PACKAGES = ["Char 1", "Char.Vitals 1", "Char.Status 1", "Char.Maxstats 1", "Room 1", "Comm.Channel 1"]


@dataclass(frozen=True, slots=True)
class Text:
    """Text for the player, with the game's escape sequences. Lines end with a line feed."""

    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """The text since the last line end is a prompt."""


@dataclass(frozen=True, slots=True)
class Echo:
    """The game has started or stopped hiding what the player types, as it does for passwords."""

    is_hidden: bool


@dataclass(frozen=True, slots=True)
class Gmcp:
    """A message of GMCP. data: None if the message has none."""

    package: str
    data: Any


@dataclass(frozen=True, slots=True)
class Mssp:
    """What the game says about itself."""

    variables: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Encoding:
    """The game and the client have agreed on an encoding."""

    encoding: str


Event = Text | Prompt | Echo | Gmcp | Mssp | Encoding


@dataclass(slots=True)
class Terminal:
    """What the client says about itself.

    Attributes:
        address: The player's address, for games whose owners want to know it.
    """

    name: str = "GOSSIP"
    version: str = ""
    columns: int = 80
    rows: int = 24
    encoding: str = "utf-8"
    uses_screen_reader: bool = False
    is_tls: bool = False
    address: str = ""

    @property
    def mtts(self) -> int:
        """The number of the Mud Terminal Type Standard."""
        number = t.MTTS_ANSI | t.MTTS_256_COLOURS | t.MTTS_TRUE_COLOUR | t.MTTS_PROXY | t.MTTS_MNES
        number |= t.MTTS_UTF8 if self.encoding == "utf-8" else 0
        number |= t.MTTS_SCREEN_READER if self.uses_screen_reader else 0
        return number | (t.MTTS_TLS if self.is_tls else 0)


class TelnetClient:
    """One connection to a game."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self._parser = Parser()
        self._options = Negotiator(ours=OURS, theirs=THEIRS)
        self._decoder = Decoder(terminal.encoding)
        self._output = bytearray()
        self._ttype_answers = 0

    @property
    def has_gmcp(self) -> bool:
        """Whether GMCP is on."""
        return self._options.is_on(t.GMCP, ours=False)

    def take_output(self) -> bytes:
        """Return what must be sent to the game."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def receive(self, data: bytes) -> Iterator[Event]:
        """Yield the events in these bytes. The generator must be read to its end before the next call.

        Raises:
            DamagedCompression: Nothing more can be read.
        """
        for token in self._parser.feed(data):
            if isinstance(token, Data):
                text = _clean(self._decoder.decode(token.data))
                if text:
                    yield Text(text)
            elif isinstance(token, Negotiation):
                answer, change = self._options.receive(token.command, token.option)
                self._output += answer
                if change is not None:
                    yield from self._switch(change)
            elif isinstance(token, Subnegotiation):
                yield from self._answer(token.option, token.content)
            elif isinstance(token, Command) and token.number in (t.GA, t.EOR_MARK):
                rest = self._decoder.flush()
                if rest:
                    yield Text(rest)
                yield Prompt()

    def send_line(self, text: str) -> None:
        """Send what the player has typed: one line, without control characters."""
        line = "".join(char for char in text if char.isprintable() or char == "\t")
        self._output += encode(line, self.terminal.encoding).replace(b"\xff", b"\xff\xff") + b"\r\n"

    def send_gmcp(self, package: str, data: Any = None) -> None:
        """Send a message of GMCP, if it is on."""
        if self.has_gmcp:
            content = package.encode() + (b"" if data is None else b" " + msgspec.json.encode(data))
            self._subnegotiate(t.GMCP, content)

    def resize(self, columns: int, rows: int) -> None:
        """Tell the game that the player's window has another size."""
        self.terminal.columns, self.terminal.rows = (max(1, min(side, MAX_SIDE)) for side in (columns, rows))
        if self._options.is_on(t.NAWS, ours=True):
            self._send_size()

    def set_encoding(self, encoding: str) -> None:
        """Use another encoding from now on."""
        self.terminal.encoding = self._decoder.encoding = encoding

    def _switch(self, change: Change) -> Iterator[Event]:
        if change.option == t.ECHO and not change.is_ours:
            yield Echo(change.is_on)
        elif change.option == t.NAWS and change.is_on:
            self._send_size()
        elif change.option == t.TTYPE:
            self._ttype_answers = 0
        elif change.option == t.MCCP2:
            self._parser.allow_compression(change.is_on)
        elif change.option == t.GMCP and change.is_on:
            self.send_gmcp("Core.Hello", {"client": self.terminal.name, "version": self.terminal.version})
            self.send_gmcp("Core.Supports.Set", GMCP_PACKAGES)

    def _answer(self, option: int, content: bytes) -> Iterator[Event]:
        if option == t.TTYPE and content[:1] == bytes([t.TTYPE_SEND]) and self._options.is_on(t.TTYPE, ours=True):
            names = [self.terminal.name, "ANSI-256COLOR", f"MTTS {self.terminal.mtts}"]
            name = names[min(self._ttype_answers, 2)]
            self._ttype_answers = min(self._ttype_answers + 1, 3)
            self._subnegotiate(t.TTYPE, bytes([t.TTYPE_IS]) + name.encode())
        elif option == t.NEW_ENVIRON and content[:1] == bytes([t.ENVIRON_SEND]):
            if self._options.is_on(t.NEW_ENVIRON, ours=True):
                self._send_environment(content[1:])
        elif option == t.CHARSET and content[:1] == bytes([t.CHARSET_REQUEST]):
            yield from self._choose_charset(content[1:])
        elif option == t.MSSP and self._options.is_on(t.MSSP, ours=False):
            yield Mssp(mssp.parse(content))
        elif option == t.GMCP and self.has_gmcp:
            message = _parse_gmcp(content)
            if message is not None:
                yield message

    def _send_size(self) -> None:
        sides = self.terminal.columns.to_bytes(2, "big") + self.terminal.rows.to_bytes(2, "big")
        self._subnegotiate(t.NAWS, sides)

    def _send_environment(self, asked: bytes) -> None:
        """Send the variables that were asked for, or all of them."""
        terminal = self.terminal
        known = {
            "CLIENT_NAME": terminal.name,
            "CLIENT_VERSION": terminal.version,
            "TERMINAL_TYPE": "ANSI-256COLOR",
            "MTTS": str(terminal.mtts),
            "CHARSET": "UTF-8" if terminal.encoding == "utf-8" else terminal.encoding.upper(),
            **({"IPADDRESS": terminal.address} if terminal.address else {}),
        }
        names = [part.decode("ascii", "replace") for part in asked.replace(b"\x03", b"\x00").split(b"\x00") if part]
        content = bytearray([t.ENVIRON_IS])
        for name, value in known.items():
            if not names or name in names:
                content += bytes([t.ENVIRON_VAR]) + name.encode() + bytes([t.ENVIRON_VALUE]) + value.encode()
        self._subnegotiate(t.NEW_ENVIRON, bytes(content))

    def _choose_charset(self, content: bytes) -> Iterator[Event]:
        """Accept UTF-8 if the game offers it, otherwise the first encoding that is known (RFC 2066)."""
        if content.startswith(b"[TTABLE]"):
            content = content[9:]
        offers = content[1:].split(content[:1]) if content else []
        known: dict[str, bytes] = {}
        for offer in offers:
            encoding = find_encoding(offer.decode("ascii", "replace"))
            if encoding is not None:
                known.setdefault(encoding, offer)
        if not known:
            self._subnegotiate(t.CHARSET, bytes([t.CHARSET_REJECTED]))
            return
        encoding = "utf-8" if "utf-8" in known else next(iter(known))
        self._subnegotiate(t.CHARSET, bytes([t.CHARSET_ACCEPTED]) + known[encoding])
        self.set_encoding(encoding)
        yield Encoding(encoding)

    def _subnegotiate(self, option: int, content: bytes) -> None:
        escaped = content.replace(b"\xff", b"\xff\xff")
        self._output += bytes([t.IAC, t.SB, option]) + escaped + bytes([t.IAC, t.SE])


def _clean(text: str) -> str:
    """Remove what has no meaning on a page: games end lines with CR LF or LF CR, and pad with NULs."""
    return text.replace("\r", "").replace("\0", "")


def _parse_gmcp(content: bytes) -> Gmcp | None:
    """Return a message. None if it is not valid: it cannot be shown, and the connection goes on."""
    package, _, value = content.partition(b" ")
    name = package.decode("utf-8", "replace")
    if not name or not name.isprintable():
        return None
    if not value.strip():
        return Gmcp(name, None)
    try:
        return Gmcp(name, msgspec.json.decode(value))
    except (msgspec.DecodeError, RecursionError):
        return None
