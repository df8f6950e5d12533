"""Write the messages of every channel into your own database, next to the channels themselves.

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
    """A message. Deleted channels stay as tombstones, so that their messages keep their channel."""

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
channels_changed = threading.Condition()


@backbone.on_commit
def notify(changes):
    with channels_changed:
        channels_changed.notify_all()


def find_channel(name):
    query = select(Channel.id).where(func.lower(Channel.name) == name.lower(), Channel.deleted_at.is_(None))
    with Session(engine) as session:
        return session.scalar(query)


@backbone.client.on(ChannelMessage)
def write(message):
    with channels_changed:  # a new channel's record may arrive after its first message
        channel_id = channels_changed.wait_for(lambda: find_channel(message.channel), 10)
    sent_at = message.sent_at or datetime.now(UTC)
    speaker = f"{message.name}@{message.game}"
    with Session(engine) as session, session.begin():
        session.add(Line(channel_id=channel_id, said_at=sent_at, speaker=speaker, text=message.message))
    print(f"[{message.channel}] {speaker}: {message.message}", flush=True)


if __name__ == "__main__":
    migrate(engine)
    Base.metadata.create_all(engine)
    backbone.run()
