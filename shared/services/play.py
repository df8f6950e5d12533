"""Playing a game in the browser: what its owner allows, which of its addresses are proved, and where to connect.

The gateway connects only to listed ways to connect, and only after the owner has proved that the address is theirs.
Otherwise anybody could register somebody else's host, and our machines would be a relay to it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from shared.db import count_changed, upsert
from shared.encodings import ENCODINGS
from shared.errors import Conflict, Forbidden, Invalid, NotFound, TooMany
from shared.models.game import Game, GameConnection
from shared.models.play import GamePlay, PlayWay
from shared.services import check_allowances, games
from shared.services.authority.actors import Actor

LEASE = timedelta(minutes=2)
TELNET = ("secure telnet", "telnet")
TELNET_PORTS = frozenset([23, 992])
FORBIDDEN_PORTS = frozenset(
    [
        1080, 1433, 1521, 1900, 2049, 2181, 2375, 2376, 2379, 3128, 3306, 3389, 4444, 5060, 5222, 5432, 5672, 5900,
        5984, 6379, 6380, 6443, 8086, 9042, 9092, 9200, 9300, 10250, 11211, 15672, 27017, 50070,
    ]
)  # fmt: skip
"""Ports of databases, remote desktops, proxies and the like, where no game listens."""


class Proof(StrEnum):
    """How an owner can prove that an address is theirs."""

    SOCKET = "socket"
    MSSP = "mssp"
    LOGIN_SCREEN = "login-screen"
    DNS = "dns"


class ProofFailure(StrEnum):
    """Why a check found no proof."""

    NO_TOKEN = "no-token"
    UNKNOWN_NAME = "unknown-name"
    NOT_PUBLIC = "not-public"
    UNREACHABLE = "unreachable"
    CERTIFICATE = "certificate"
    PORT = "port"


PROOFS = {
    Proof.SOCKET: "the game is connected to our socket from the same host",
    Proof.MSSP: "its MSSP shows the token",
    Proof.LOGIN_SCREEN: "its login screen shows the token",
    Proof.DNS: "the host's DNS shows the token",
}
FAILURES = {
    ProofFailure.NO_TOKEN: "The game answers, but the token was not found in any of the four places.",
    ProofFailure.UNKNOWN_NAME: "No address belongs to this host. Is it typed right?",
    ProofFailure.NOT_PUBLIC: "The host is on a private network, which the gateway does not connect to.",
    ProofFailure.UNREACHABLE: "The token is not in DNS, the game is not on our socket from this host, and nothing "
    "answered on this port. Is the game running?",
    ProofFailure.CERTIFICATE: "The TLS certificate is not valid for this host, so players could not connect either.",
    ProofFailure.PORT: "The gateway does not connect to this port, which belongs to another service. "
    "Use a port above 1023.",
}


@dataclass(frozen=True, slots=True)
class PlayTarget:
    """Where a session connects to."""

    game_id: int
    game_name: str
    connection_id: str
    host: str
    port: int
    is_tls: bool
    encoding: str
    sends_address: bool


@dataclass(frozen=True, slots=True)
class ProofTask:
    """A check for a proof that the gateway has claimed."""

    connection_id: str
    game_id: int
    endpoint: str
    host: str
    port: int
    is_tls: bool
    token: str


def is_port_allowed(port: int, own_ports: Collection[int] = ()) -> bool:
    """Return whether the gateway may connect to a port. own_ports: those that this network listens on."""
    if port < 1024:
        return port in TELNET_PORTS
    return port not in FORBIDDEN_PORTS and port not in own_ports


def find_play(session: Session, game: Game) -> GamePlay | None:
    """Return what the owner has decided. None if nothing."""
    return session.get(GamePlay, game.id)


def get_own_play(session: Session, actor: Actor, *, short_name: str) -> tuple[Game, GamePlay]:
    """Return a game that the actor may change and what was decided, with a token for the proof. Raises NotFound."""
    game = games.get_own_game(session, actor, short_name=short_name)
    play = session.get(GamePlay, game.id)
    if play is None:
        statement = upsert(session, GamePlay).values(game_id=game.id).on_conflict_do_nothing()
        session.execute(statement)
        play = session.get_one(GamePlay, game.id)
    return game, play


def set_switches(
    session: Session,
    actor: Actor,
    *,
    short_name: str,
    is_allowed: bool,
    allows_guests: bool,
    sends_address: bool,
    is_asked: bool = True,
) -> GamePlay:
    """Set what the owner allows: playing in the browser, and asking the game about itself. Raises NotFound."""
    _, play = get_own_play(session, actor, short_name=short_name)
    play.is_allowed, play.allows_guests, play.sends_address = is_allowed, allows_guests, sends_address
    play.is_asked = is_asked
    session.flush()
    return play


def set_encoding(session: Session, actor: Actor, *, connection_id: str, encoding: str) -> Game:
    """Set the encoding of a way to connect, one of ENCODINGS. Raises NotFound, Invalid, Conflict."""
    way = _get_own_telnet(session, actor, connection_id)
    if encoding not in ENCODINGS:
        raise Invalid("choose one of the encodings", field="encoding")
    _play_way(session, way).encoding = encoding
    session.flush()
    return way.game


def ask_for_proof(session: Session, actor: Actor, *, connection_id: str, now: datetime) -> Game:
    """Let the gateway look for a proof that a way to connect is the owner's.

    Raises:
        NotFound: The actor may not change it.
        Conflict: It is not telnet.
        TooMany: The owner has had too many checks.
    """
    way = _get_own_telnet(session, actor, connection_id)
    get_own_play(session, actor, short_name=way.game.short_name)
    assert way.port is not None
    again_at = check_allowances.charge(session, owner_id=way.game.owner_id, port=way.port, now=now)
    if again_at is not None:
        minutes = max(1, round((again_at - now).total_seconds() / 60))
        raise TooMany(f"your addresses were checked too often: try again in {minutes} minutes")
    row = _play_way(session, way)
    row.asked_at, row.lease_until = now, None
    session.flush()
    return way.game


def endpoint_of(way: GameConnection) -> str:
    """Return the kind, host and port of a way to connect, to see whether it was edited."""
    return f"{way.type} {way.host} {way.port}"


def list_ways(session: Session, game: Game) -> list[tuple[GameConnection, PlayWay | None]]:
    """Return the telnet addresses of a game, those with TLS first, with what the gateway knows of each."""
    ways = [way for way in game.connections if way.type in TELNET]
    rows = {
        row.connection_id: row
        for row in session.scalars(select(PlayWay).where(PlayWay.connection_id.in_([way.id for way in ways])))
    }
    ordered = sorted(ways, key=lambda way: (TELNET.index(way.type), way.id))
    return [(way, rows.get(way.id)) for way in ordered]


def is_proved(way: GameConnection, row: PlayWay | None) -> bool:
    """Return whether a way to connect is the owner's, as it is now."""
    return row is not None and row.proof is not None and row.proved_endpoint == endpoint_of(way)


def list_playable(session: Session, game: Game) -> list[tuple[GameConnection, str]]:
    """Return the addresses where a game can be played, best first, with their encodings. Empty if it cannot."""
    play = session.get(GamePlay, game.id)
    if play is None or not play.is_allowed:
        return []
    return [
        (way, row.encoding)
        for way, row in list_ways(session, game)
        if row is not None and is_proved(way, row) and is_port_allowed(way.port or 0)
    ]


def get_target(session: Session, actor: Actor, *, game_id: int) -> PlayTarget:
    """Return where a session of this person, or of a guest, connects to.

    Raises:
        NotFound: There is no such game, or the actor may not see it.
        Forbidden: The owner does not allow it.
    """
    game = session.get(Game, game_id)
    if game is None:
        raise NotFound("this game has been deleted")
    games.get_public_game(session, actor, short_name=game.short_name)
    play = session.get(GamePlay, game.id)
    ways = list_playable(session, game)
    if play is None or not ways:
        raise Forbidden("this game cannot be played in the browser")
    if actor.kind != "user" and not play.allows_guests:
        raise Forbidden("sign in to play this game")
    way, encoding = ways[0]
    return PlayTarget(
        game_id=game.id,
        game_name=game.name,
        connection_id=way.id,
        host=way.host or "",
        port=way.port or 0,
        is_tls=way.type == "secure telnet",
        encoding=encoding,
        sends_address=play.sends_address,
    )


def take_proofs(session: Session, *, now: datetime, at_most: int) -> list[ProofTask]:
    """Claim the checks for proofs that owners have asked for, oldest first."""
    is_free = or_(PlayWay.lease_until.is_(None), PlayWay.lease_until < now)
    due = select(PlayWay.connection_id).where(PlayWay.asked_at.is_not(None), is_free)
    tasks = []
    for connection_id in session.scalars(due.order_by(PlayWay.asked_at).limit(at_most)).all():
        claimed = update(PlayWay).where(PlayWay.connection_id == connection_id, is_free).values(lease_until=now + LEASE)
        if not count_changed(session.execute(claimed.execution_options(synchronize_session=False))):
            continue
        way = session.get_one(GameConnection, connection_id)
        play = session.get_one(GamePlay, way.game_id)
        tasks.append(
            ProofTask(
                connection_id=way.id,
                game_id=way.game_id,
                endpoint=endpoint_of(way),
                host=way.host or "",
                port=way.port or 0,
                is_tls=way.type == "secure telnet",
                token=play.proof_token,
            )
        )
    return tasks


def finish_proof(
    session: Session, task: ProofTask, *, proof: Proof | None, failure: ProofFailure | None, now: datetime
) -> None:
    """Store the outcome of a check. A failure takes nothing away from an address that was proved before."""
    row = session.get(PlayWay, task.connection_id)
    if row is None:  # the way to connect was deleted meanwhile
        return
    row.asked_at = row.lease_until = None
    row.checked_at = now
    row.failure = failure
    if proof is not None:
        row.proof, row.proved_endpoint = proof, task.endpoint
    session.flush()


def _get_own_telnet(session: Session, actor: Actor, connection_id: str) -> GameConnection:
    way = games.get_own_connection(session, actor, connection_id=connection_id)
    if way.type not in TELNET:
        raise Conflict("only telnet addresses can be played through the gateway")
    return way


def _play_way(session: Session, way: GameConnection) -> PlayWay:
    row = session.get(PlayWay, way.id)
    if row is None:
        session.execute(upsert(session, PlayWay).values(connection_id=way.id).on_conflict_do_nothing())
        row = session.get_one(PlayWay, way.id)
    return row
