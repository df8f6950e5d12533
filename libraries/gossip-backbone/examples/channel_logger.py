"""Writes what is said on every channel into your own database, beside the channels themselves.

GOSSIP_URL=… GOSSIP_CLIENT_ID=… GOSSIP_CLIENT_SECRET=… python channel_logger.py
"""

import os
import threading
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


news = threading.Condition()


@backbone.on_commit
def tell(changes):
    with news:
        news.notify_all()


def find_channel(name):
    query = select(Channel.id).where(func.lower(Channel.name) == name.lower(), Channel.deleted_at.is_(None))
    with Session(engine) as session:
        return session.scalar(query)


@backbone.client.on(ChannelMessage)
def write(said):
    with news:  # the channel itself may be on its way
        channel_id = news.wait_for(lambda: find_channel(said.channel), 10)
    when = said.sent_at or datetime.now(UTC)
    with Session(engine) as session, session.begin():
        speaker = f"{said.name}@{said.game}"
        session.add(Line(channel_id=channel_id, said_at=when, speaker=speaker, text=said.message))
    print(f"[{said.channel}] {said.name}@{said.game}: {said.message}", flush=True)


if __name__ == "__main__":
    migrate(engine)
    Base.metadata.create_all(engine)
    backbone.run()
