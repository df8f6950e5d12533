"""The WebSocket of a page: opens or resumes a session, and carries messages both ways."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from gateway.play import messages as m
from gateway.play.session import PlaySession
from gateway.play.sessions import Sessions
from shared.errors import DomainError

FIRST_SECONDS = 10.0
CLOSED, REFUSED, REPLACED = 1000, 1008, 4001

_decoder: msgspec.json.Decoder[m.Incoming] = msgspec.json.Decoder(m.Incoming)


class PlaySocket:
    """Serves pages."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def serve(self, socket: ServerConnection, address: str) -> None:
        """Serve one page until its socket is closed. address: the page's."""
        with suppress(ConnectionClosed):
            try:
                first = _decode(await asyncio.wait_for(socket.recv(), FIRST_SECONDS))
                position, session, greeting = await self._begin(first, address)
            except TimeoutError:
                await _refuse(socket, "invalid", "nothing was sent")
                return
            except DomainError as error:
                await _refuse(socket, error.code, error.message)
                return
            except msgspec.MsgspecError as error:
                await _refuse(socket, "invalid", str(error))
                return
            attachment = session.attach()
            try:
                await socket.send(msgspec.json.encode(greeting).decode())
                await self._carry(socket, session, position)
            finally:
                session.detach(attachment)

    async def _begin(self, first: m.Incoming, address: str) -> tuple[int, PlaySession, m.Opened | m.Resumed]:
        if isinstance(first, m.Open):
            session = await self._sessions.open(first, address)
            target = session.target
            opened = m.Opened(
                session.secret, target.game_name, target.host, target.port, target.is_tls, session.encoding
            )
            return 0, session, opened
        if not isinstance(first, m.Resume):
            raise msgspec.ValidationError("the first message must be `open` or `resume`")
        found = self._sessions.find(first.session)
        if found is None:
            raise GoneSession("this session is over")
        start, target = found.backlog.start(first.position), found.target
        found.confirm(first.position)
        return (
            start,
            found,
            m.Resumed(
                position=start,
                last=found.backlog.last,
                is_complete=start == first.position,
                is_hidden=found.is_hidden,
                encoding=found.encoding,
                game=target.game_name,
                host=target.host,
                port=target.port,
                is_tls=target.is_tls,
            ),
        )

    async def _carry(self, socket: ServerConnection, session: PlaySession, position: int) -> None:
        sending = asyncio.create_task(self._send(socket, session, position))
        try:
            async for text in socket:
                await session.handle(_decode(text))
        except msgspec.MsgspecError as error:
            await socket.close(REFUSED, _reason(str(error)))
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await sending

    async def _send(self, socket: ServerConnection, session: PlaySession, position: int) -> None:
        attachment = session.attachment
        with suppress(ConnectionClosed):
            async for message in session.messages(position):
                await socket.send(message.decode())
            if session.attachment != attachment:
                await socket.close(REPLACED, "another page has this session")
            else:
                await self._wait_until_confirmed(session)
                await socket.close(CLOSED, "the session is over")

    async def _wait_until_confirmed(self, session: PlaySession) -> None:
        """Give the page a moment to confirm the last message, so that the session need not wait for it to return."""
        for _ in range(50):
            if session.backlog.confirmed == session.backlog.last:
                return
            await asyncio.sleep(0.02)


class GoneSession(DomainError):
    """The session has ended, or never was."""

    code = "gone"


def _decode(message: str | bytes) -> m.Incoming:
    return _decoder.decode(message)


async def _refuse(socket: ServerConnection, code: str, text: str) -> None:
    await socket.send(msgspec.json.encode(m.Refused(code, text)).decode())
    await socket.close(REFUSED, _reason(text))


def _reason(text: str) -> str:
    """Return a text that fits into a close frame."""
    return text.encode()[:120].decode(errors="ignore")
