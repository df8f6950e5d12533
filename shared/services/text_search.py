"""Search for lines of the history: one interface to the full-text indexes of SQLite (FTS5) and PostgreSQL (GIN).

Both index the same terms, which are made here, so that both find the same lines: a letter for the kind, then a word of
the text or of the player's name, the short name, or the channel's id. A word is a run of letters and digits, in any
case. The last word that is searched for in a text or a name may be the beginning of a word.

Storing a line must be fast, so a job indexes lines later, in batches (`index_batch`). The index holds every line up to
the largest id in it; a search reads the newer lines one by one. Triggers on `messages` remove the terms of lines that
are deleted or whose text changes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from unicodedata import normalize

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from shared.models.message import SEARCH_TABLE as TABLE
from shared.models.message import Message

BATCH = 200  # lines: about 10 ms, in which nobody else can write on SQLite
UNINDEXED_AT_MOST = 20_000  # lines that one search reads without the index, the newest ones
NEWEST = 5_000  # lines that are read before the index on PostgreSQL, where a common word is found sooner: 4 ms
SMALL_CHANNEL = 1_000  # lines; fewer are read one by one

_WORD = re.compile(r"[^\W_]+")
_WORD_LENGTH = 60
_LOCK = 4_110_002  # an advisory lock on PostgreSQL: any number that nothing else in the database uses


class Line(Protocol):
    """What is indexed of a line."""

    @property
    def channel_id(self) -> int: ...
    @property
    def game(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Query:
    """Terms that a line must have, all of them.

    Attributes:
        beginnings: Terms that only need to begin like this.
        channel_id: The channel, if it is among the terms.
    """

    terms: frozenset[str]
    beginnings: frozenset[str]
    channel_id: int | None = None

    def matches(self, line: Line) -> bool:
        """Return True if a line has these terms."""
        terms = terms_of(line)
        return self.terms <= terms and all(any(term.startswith(part) for term in terms) for part in self.beginnings)


def make_query(*, words: str = "", player: str = "", game: str = "", channel_id: int | None = None) -> Query | None:
    """Return a query for lines that match everything given. None if it can match nothing, as a text without a word.

    Args:
        words: Words of the text; the last one may be incomplete, as for `player`.
        player: Words of the player's name.
        game: A short name.
    """
    terms: set[str] = set()
    beginnings: set[str] = set()
    for kind, value in (("t", words), ("n", player)):
        if value.strip():
            value_words = _words(value)
            if not value_words:
                return None
            terms.update(kind + word for word in value_words[:-1])
            beginnings.add(kind + value_words[-1])
    if game.strip():
        if _words(game) != [_fold(game.strip())]:
            return None
        terms.add(_game_term(game))
    if channel_id is not None:
        terms.add(f"c{channel_id}")
    return Query(frozenset(terms), frozenset(beginnings), channel_id)


def terms_of(line: Line) -> set[str]:
    """Return the terms by which a line is found."""
    return {
        f"c{line.channel_id}",
        _game_term(line.game),
        *("n" + word for word in _words(line.name)),
        *("t" + word for word in _words(line.text)),
    }


def find_ids(session: Session, query: Query, *, first: int, last: int, limit: int) -> list[int]:
    """Return the ids of lines that match, newest first, from `first` to `last`. Reads at most `limit` of them."""
    if query.channel_id is not None:
        lines_of_channel = _read_small_channel(session, query.channel_id, first, last)
        if lines_of_channel is not None:
            return [line.id for line in lines_of_channel if query.matches(line)][:limit]
    indexed = last_indexed_id(session)
    lines = session.execute(
        _columns()
        .where(Message.id > max(indexed, first - 1), Message.id <= last)
        .order_by(Message.id.desc())
        .limit(UNINDEXED_AT_MOST)
    )
    ids = [line.id for line in lines if query.matches(line)][:limit]
    if len(ids) < limit and first <= indexed:
        ids += _find_indexed(session, query, first=first, last=min(last, indexed), limit=limit - len(ids))
    return ids


def _find_indexed(session: Session, query: Query, **bounds: int) -> Sequence[int]:
    if not _is_postgres(session):
        return session.scalars(_SQLITE_SEARCH, {"query": _sqlite_query(query), **bounds}).all()
    words = _postgres_query(query)
    newest = session.scalars(_POSTGRES_NEWEST, {"query": words, "newest": NEWEST, **bounds}).all()
    if len(newest) == bounds["limit"]:
        return newest
    return session.scalars(_POSTGRES_SEARCH, {"query": words, **bounds}).all()


def _read_small_channel(session: Session, channel_id: int, first: int, last: int) -> Sequence[Row[Any]] | None:
    """Return a channel's lines, newest first. None if there are more than SMALL_CHANNEL.

    For a common word, FTS5 walks through every line that has it: 330 ms among a million lines, however few of them are
    on the channel. To read and compare 1,000 lines takes 20 ms.
    """
    newest = (
        _columns()
        .where(Message.channel_id == channel_id, Message.id >= first, Message.id <= last)
        .order_by(Message.id.desc())
        .limit(SMALL_CHANNEL + 1)
    )
    lines = session.execute(newest).all()
    return lines if len(lines) <= SMALL_CHANNEL else None


def index_batch(session: Session, *, limit: int = BATCH) -> int:
    """Index the next lines, oldest first. Return how many; 0 if all are indexed."""
    lock(session)
    lines = session.execute(
        _columns().where(Message.id > last_indexed_id(session)).order_by(Message.id).limit(limit)
    ).all()
    _insert(session, lines)
    return len(lines)


def index_again(session: Session, line: Message) -> None:
    """Index a line whose text has changed. The caller has called `lock` before it changed the line, and flushed it."""
    if line.id <= last_indexed_id(session):
        _insert(session, session.execute(_columns().where(Message.id == line.id)).all())


def lock(session: Session) -> None:
    """Keep others from changing the index until the commit. Call it before locking lines, so that none waits forever.

    Without it, a line could be redacted or deleted after `index_batch` has read its text and before it has committed.
    """
    if _is_postgres(session):
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def last_indexed_id(session: Session) -> int:
    """Return the largest id in the index; 0 if it is empty."""
    column = "id" if _is_postgres(session) else "rowid"
    return session.scalar(text(f"SELECT {column} FROM {TABLE} ORDER BY {column} DESC LIMIT 1")) or 0


def _insert(session: Session, lines: Sequence[Row[Any]]) -> None:
    if not lines:
        return
    if _is_postgres(session):
        session.execute(_POSTGRES_INSERT, [{"id": line.id, "terms": sorted(terms_of(line))} for line in lines])
    else:
        session.execute(_SQLITE_INSERT, [{"id": line.id, "terms": " ".join(terms_of(line))} for line in lines])


def _words(value: str) -> list[str]:
    return [word[:_WORD_LENGTH] for word in _WORD.findall(_fold(value))]


def _fold(text: str) -> str:
    """Return the form in which words are compared: without case, and é equals e with an accent."""
    return text.lower() if text.isascii() else normalize("NFC", normalize("NFC", text).casefold())


def _game_term(short_name: str) -> str:
    return "g" + "".join(_words(short_name))


def _sqlite_query(query: Query) -> str:
    return " ".join([f'"{term}"' for term in query.terms] + [f'"{term}"*' for term in query.beginnings])


def _postgres_query(query: Query) -> str:
    return " & ".join([f"'{term}'" for term in query.terms] + [f"'{term}':*" for term in query.beginnings])


def _columns() -> Any:
    return select(Message.id, Message.channel_id, Message.game, Message.name, Message.text)


def _is_postgres(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


_SQLITE_INSERT = text(f"INSERT INTO {TABLE} (rowid, terms) VALUES (:id, :terms)")
_POSTGRES_INSERT = text(
    f"INSERT INTO {TABLE} (id, terms) VALUES (:id, array_to_tsvector(CAST(:terms AS text[]))) "
    "ON CONFLICT (id) DO UPDATE SET terms = excluded.terms"
)
_SQLITE_SEARCH = text(
    f"SELECT rowid FROM {TABLE} WHERE {TABLE} MATCH :query AND rowid BETWEEN :first AND :last "
    "ORDER BY rowid DESC LIMIT :limit"
)
# PostgreSQL's planner guesses how many lines match. If it guesses too many, it reads the whole history backwards: hence
# two statements that leave it no choice. The index finds all matches, before the newest are chosen.
_POSTGRES_NEWEST = text(
    f"SELECT id FROM (SELECT id, terms FROM {TABLE} WHERE id BETWEEN :first AND :last ORDER BY id DESC LIMIT :newest) "
    "AS newest WHERE terms @@ CAST(:query AS tsquery) ORDER BY id DESC LIMIT :limit"
)
_POSTGRES_SEARCH = text(
    f"WITH matches AS MATERIALIZED (SELECT id FROM {TABLE} WHERE terms @@ CAST(:query AS tsquery)) "
    "SELECT id FROM matches WHERE id BETWEEN :first AND :last ORDER BY id DESC LIMIT :limit"
)
