"""Playing a game in the browser: what its owner allows, and the proof that the game is theirs."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import ForeignKey, String, true
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model, UtcDateTime


class GamePlay(Model):
    """What the owner of a game has decided about playing it in the browser. Without a row, it cannot be played.

    Attributes:
        proof_token: what the owner shows in the game to prove that it is theirs. It is not a secret.
        is_asked: whether the gateway asks the game every hour how many players it has.
        sends_address: whether the gateway tells the game each player's address.
    """

    __tablename__ = "game_play"

    game_id: Mapped[int] = mapped_column(ForeignKey("games.id", ondelete="CASCADE"), primary_key=True)
    is_allowed: Mapped[bool] = mapped_column(default=False)
    allows_guests: Mapped[bool] = mapped_column(default=False)
    sends_address: Mapped[bool] = mapped_column(default=False)
    is_asked: Mapped[bool] = mapped_column(default=True, server_default=true())
    proof_token: Mapped[str] = mapped_column(String(40), default=lambda: f"gossip-{secrets.token_hex(10)}")


class PlayWay(Model):
    """What the gateway knows of one telnet address of a game.

    Attributes:
        proof: how the owner has proved that the address is theirs, one of `Proof`.
        proved_endpoint: kind, host and port that were proved. A way to connect that was edited is not proved.
        asked_at: when the owner asked for the check that is still to be run.
        lease_until: until when a gateway has claimed that check.
        failure: why the last check has failed, one of `ProofFailure`.
    """

    __tablename__ = "play_ways"

    connection_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("game_connections.id", ondelete="CASCADE"), primary_key=True
    )
    encoding: Mapped[str] = mapped_column(String(20), default="utf-8")
    proof: Mapped[str | None] = mapped_column(String(20))
    proved_endpoint: Mapped[str | None] = mapped_column(String(300))
    asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    checked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failure: Mapped[str | None] = mapped_column(String(20))
