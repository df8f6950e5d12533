"""Writes what is said on every channel into your own database, beside the channels themselves.

GOSSIP_URL=… GOSSIP_CLIENT_ID=… GOSSIP_CLIENT_SECRET=… python channel_logger.py
"""

import os
from datetime import UTC, datetime

from backbone import Backbone, Channel, migrate
from gossip_client import ChannelMessage
from sqlalchemy import ForeignKey, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship


class Base(DeclarativeBase):
    """Models of this program."""


class Line(Base):
    """Something that was said. Deleted channels stay as tombstones, so that their lines keep their channel."""

    __tablename__ = "lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    channel_id: Mapped[int] = mapped_column(ForeignKey(Channel.id))
    said_at: Mapped[datetime]
    speaker: Mapped[str]
    text: Mapped[str]
    channel: Mapped[Channel] = relationship(Channel)


engine = create_engine(os.environ.get("DATABASE", "sqlite:///channels.db"))
login = (os.environ[name] for name in ("GOSSIP_URL", "GOSSIP_CLIENT_ID", "GOSSIP_CLIENT_SECRET"))
backbone = Backbone(engine, *login, deletes="tombstones")


@backbone.client.on(ChannelMessage)
def write(said):
    backbone.wait_synced(30)  # the channel itself may be on its way
    with Session(engine) as session, session.begin():
        query = select(Channel).where(func.lower(Channel.name) == said.channel.lower(), Channel.deleted_at.is_(None))
        channel = session.scalars(query).first()
        if channel is not None:
            when = said.sent_at or datetime.now(UTC)
            session.add(Line(channel=channel, said_at=when, speaker=f"{said.name}@{said.game}", text=said.message))
    print(f"[{said.channel}] {said.name}@{said.game}: {said.message}", flush=True)


if __name__ == "__main__":
    migrate(engine)
    Base.metadata.create_all(engine)
    backbone.run()
