"""Asks games how they are: by MSSP (option 70), then in plain text (MSSP-REQUEST), then by INFO and WHO.

It says who it is by its terminal type, connects to an address only once at a time, reads a bounded amount for a bounded
time, and never logs in.
"""

from __future__ import annotations

import asyncio
import re
import time
from asyncio import StreamReader, StreamWriter
from collections import defaultdict
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.game_connections import READ_BYTES, ConnectFailed, GameConnections
from gateway.telnet import mssp
from gateway.telnet.client import Mssp, TelnetClient, Terminal, Text
from gateway.telnet.parser import DamagedCompression
from shared import __version__
from shared.db import transaction, utc_now
from shared.services import game_facts
from shared.services.game_facts import Answer, FactsTask, Source

POLL_SECONDS = 10.0
AT_ONCE = 8
VISIT_SECONDS = 40.0
QUIET_SECONDS = 2.0  # after so long without anything new, the next question is asked
MAX_BYTES = 128 * 1024

_START = re.compile(r"^\s*MSSP-REPLY-START\s*$", re.MULTILINE | re.IGNORECASE)
_END = re.compile(r"^\s*MSSP-REPLY-END\s*$", re.MULTILINE | re.IGNORECASE)
_INFO = re.compile(r"^#+ *Begin INFO[^\n]*\n(.*?)^#+ *End INFO", re.MULTILINE | re.DOTALL | re.IGNORECASE)
_WHO = re.compile(
    r"\b(\d{1,5}|no|one) (?:other )?(?:players?|users?|people|characters?)\b(?: \w+){0,3}"
    r" (?:connected|online|logged|on-?line|playing|visible)",
    re.IGNORECASE,
)
_RETURN = re.compile(r"\b(?:press|hit)\b[^\n]{0,20}\b(?:return|enter)\b", re.IGNORECASE)
_INFO_NAMES = {"NAME": "NAME", "CONNECTED": "PLAYERS", "VERSION": "CODEBASE", "SIZE": "DBSIZE"}

_log = structlog.get_logger(__name__)


class Crawler:
    """Takes the addresses that are due from the database."""

    def __init__(self, connections: GameConnections) -> None:
        self._connections = connections
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.asked = 0
        self.answered = 0

    async def run(self) -> None:
        """Ask until this is cancelled."""
        while True:
            try:
                tasks = await asyncio.to_thread(_take)
                await asyncio.gather(*map(self._ask, tasks))
            except SQLAlchemyError as error:
                tasks = []
                _log.error("games are not asked while the database is down", error=str(error))
            if len(tasks) < AT_ONCE:
                self._locks.clear()
                await asyncio.sleep(POLL_SECONDS)

    async def _ask(self, task: FactsTask) -> None:
        answer = await self.ask(task)
        self.asked += 1
        self.answered += answer is not None

        def finish() -> None:
            with transaction() as session:
                game_facts.finish(session, task, answer, now=utc_now())

        await asyncio.to_thread(finish)

    async def ask(self, task: FactsTask) -> Answer | None:
        """Return a game's answer. None if it does not answer, or says nothing about itself."""
        try:
            addresses = await self._connections.resolve(task.host)
            async with self._locks[addresses[0]]:
                tls_name = task.host if task.is_tls else None
                reader, writer = await self._connections.open_address(addresses, task.port, tls_name=tls_name)
                try:
                    return await asyncio.wait_for(_Visit(reader, writer, task).ask(), VISIT_SECONDS)
                finally:
                    writer.close()
        except (ConnectFailed, OSError, TimeoutError, DamagedCompression):
            return None


class _Visit:
    """One connection: what has arrived so far."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, task: FactsTask) -> None:
        self._reader = reader
        self._writer = writer
        self._client = TelnetClient(Terminal(name="GOSSIP-CRAWLER", version=__version__, is_tls=task.is_tls))
        self._text = ""
        self._bytes = 0
        self._mssp: dict[str, list[str]] = {}
        self._is_open = True

    async def ask(self) -> Answer | None:
        """Ask in every way, until one is answered."""
        await self._listen(lambda: bool(self._mssp))
        if not self._mssp and _RETURN.search(self._text):
            await self._say("", lambda: bool(self._mssp))
        if self._mssp:
            return Answer(Source.MSSP, self._mssp)
        await self._say("MSSP-REQUEST", lambda: bool(self._mssp) or _END.search(self._text) is not None)
        if self._mssp:
            return Answer(Source.MSSP, self._mssp)
        variables = parse_text(self._text)
        if variables:
            return Answer(Source.MSSP_TEXT, variables)
        await self._say("INFO", lambda: _INFO.search(self._text) is not None)
        variables = parse_info(self._text)
        if variables:
            return Answer(Source.INFO, variables)
        await self._say("WHO", lambda: _WHO.search(self._text) is not None)
        variables = parse_who(self._text)
        return Answer(Source.WHO, variables) if variables else None

    async def _say(self, line: str, is_enough: Callable[[], bool]) -> None:
        if self._is_open:
            self._text = ""
            self._client.send_line(line)
            await self._listen(is_enough)

    async def _listen(self, is_enough: Callable[[], bool]) -> None:
        """Read until there is enough, or the game falls silent, or it has said too much."""
        heard_at = time.monotonic()
        while self._is_open and not is_enough():
            self._writer.write(self._client.take_output())
            await self._writer.drain()
            left = heard_at + QUIET_SECONDS - time.monotonic()
            try:
                data = await asyncio.wait_for(self._reader.read(READ_BYTES), max(left, 0.0))
            except TimeoutError:
                return
            self._bytes += len(data)
            self._is_open = bool(data) and self._bytes < MAX_BYTES
            heard_at = time.monotonic()
            for event in self._client.receive(data):
                if isinstance(event, Mssp):
                    self._mssp = event.variables
                elif isinstance(event, Text):
                    self._text = (self._text + event.text)[-MAX_BYTES:]


def parse_text(text: str) -> dict[str, list[str]]:
    """Return the variables of a reply to MSSP-REQUEST; empty if there is none."""
    start = _START.search(text)
    if start is None:
        return {}
    end = _END.search(text, start.end())
    variables: dict[str, list[str]] = {}
    for line in text[start.end() : end.start() if end else len(text)].splitlines()[: mssp.MAX_VARIABLES]:
        name, tab, value = line.partition("\t")
        if tab and mssp.clean_name(name):
            variables.setdefault(mssp.clean_name(name), []).append(mssp.clean_value(value))
    return variables


def parse_info(text: str) -> dict[str, list[str]]:
    """Return what INFO of a MUSH says, as variables of MSSP; empty if there is no answer to it."""
    block = _INFO.search(text)
    pairs = [line.partition(":") for line in (block[1] if block else "").splitlines()]
    return {
        _INFO_NAMES[name.strip().upper()]: [mssp.clean_value(value)]
        for name, _, value in pairs
        if name.strip().upper() in _INFO_NAMES and value.strip()
    }


def parse_who(text: str) -> dict[str, list[str]]:
    """Return the count below a list of players, as PLAYERS; empty if there is none."""
    counts = [match[1].lower() for match in _WHO.finditer(text)]
    return {"PLAYERS": [{"no": "0", "one": "1"}.get(counts[-1], counts[-1])]} if counts else {}


def _take() -> list[FactsTask]:
    with transaction() as session:
        return game_facts.take_due(session, now=utc_now(), at_most=AT_ONCE)
