"""How many tells were sent. Nothing else about tells is stored."""

from __future__ import annotations

from datetime import date

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from shared.db import Model
from shared.peer_keys import PeerKey


class TellCount(Model):
    """The number of tells that players of one peer sent on one day (UTC)."""

    __tablename__ = "tell_counts"

    day: Mapped[date] = mapped_column(primary_key=True)
    peer: Mapped[PeerKey] = mapped_column(String(40), primary_key=True)
    tells: Mapped[int] = mapped_column(BigInteger)
