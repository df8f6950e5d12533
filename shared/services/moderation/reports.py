"""Reports of messages and players. Several people who report the same thing share one report and its outcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, not_, or_, select, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, contains_eager, joinedload

from shared import validation
from shared.db import utc_now
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.models.channel import Channel
from shared.models.message import Message
from shared.models.moderation import Filter
from shared.models.report import CLAIM_TIME, REPORT_STATES, Report, Reporter
from shared.pagination import Page, paginate
from shared.protocol.types import player_key
from shared.services import characters
from shared.services.authority import audit
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require
from shared.services.moderation import messages, targets

ALREADY_DECIDED = "this report has already been decided"
MAX_OPEN_REPORTS = 50
TEXT_LONGEST = 1_000


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is reported: a player, or one of their messages."""

    peer: str
    key: str
    name: str
    game: str
    message: Message | None


def create_report(
    session: Session, actor: Actor, *, game: str, name: str, text: str, message_id: int | None = None
) -> Report:
    """Report a player, or one of their messages, as a user or a game. Reporting twice succeeds and changes nothing.

    Raises Forbidden, NotFound (`target`, `message_id`), Invalid (`text`; `message_id` of another player's message),
    Conflict (too many open ones).
    """
    require(actor, Act.REPORT)
    about = targets.player(session, name=name, game=game)
    assert about.peer is not None and about.player_key is not None
    message = None
    if message_id is not None:
        message = messages.find_locked(session, message_id)
        if message is None:
            raise messages.unknown()
        if (message.peer, player_key(message.name)) != (about.peer, about.player_key):
            raise Invalid("this message is another player's", field="message_id")
    text = validation.text(text, field="text", longest=TEXT_LONGEST, what="what is wrong")
    if not text:
        raise Invalid("say what is wrong", field="text")
    shown, _, short_name = about.name.rpartition("@")
    subject = _Subject(about.peer, about.player_key, shown, short_name, message)
    waiting = (
        select(func.count())
        .select_from(Reporter)
        .join(Reporter.report)
        .where(Reporter.key == actor.key, Report.state == "open")
    )
    if (session.scalar(waiting) or 0) >= MAX_OPEN_REPORTS:
        raise Conflict(f"{MAX_OPEN_REPORTS} of your reports are still waiting for a moderator", field="text")
    return _gather(session, subject, Reporter(kind=actor.kind, key=actor.key, name=actor.name, text=text))


def flag_message(session: Session, *, message_id: int, filter_id: int) -> Report | None:
    """Report a message that a filter has flagged. Return None if the message was deleted or redacted."""
    message = messages.find_locked(session, message_id)
    if message is None or message.redacted_at is not None:
        return None
    rule = session.get(Filter, filter_id)
    note = "a filter" if rule is None else f"{rule.kind} {rule.text} {rule.note}".strip()
    subject = _Subject(message.peer, player_key(message.name), message.name, message.game, message)
    reporter = Reporter(kind="filter", key=f"filter:{filter_id}", name="filter", text=note[:TEXT_LONGEST])
    return _gather(session, subject, reporter)


def _gather(session: Session, subject: _Subject, reporter: Reporter) -> Report:
    message = subject.message
    key = f"message:{message.id}" if message is not None else f"player:{subject.peer}/{subject.key}"
    report = _find_open(session, key)
    if report is None:
        channel = session.get(Channel, message.channel_id) if message is not None else None
        report = Report(
            kind="player" if message is None else "message",
            key=key,
            peer=subject.peer,
            player_key=subject.key,
            name=subject.name,
            game=subject.game,
            message_id=message.id if message is not None else None,
            channel=channel.name if channel is not None else None,
            quote=message.text if message is not None else "",
        )
        try:
            with session.begin_nested():
                session.add(report)
        except IntegrityError:  # somebody reported the same at this moment
            report = _find_open(session, key)
            if report is None:
                raise Conflict("somebody decided about this at the same moment: report it again") from None
    try:
        with session.begin_nested():
            if all(earlier.key != reporter.key for earlier in report.reporters):
                report.reporters.append(reporter)
    except IntegrityError:  # the same reporter, twice at once
        session.refresh(report)
    return report


def _find_open(session: Session, key: str) -> Report | None:
    return session.scalar(select(Report).where(Report.key == key, Report.state == "open").with_for_update())


def resolve_report(session: Session, actor: Actor, *, report_id: int, state: str, outcome: str) -> Report:
    """Decide a report: `upheld` or `dismissed`, with an outcome that all its reporters see.

    Raises Forbidden (also if it is about the actor), NotFound, Conflict (decided already),
    Invalid (`state`, `outcome`).
    """
    require(actor, Act.RESOLVE_REPORT)
    report = _lock(session, Report.id == report_id)
    if state not in REPORT_STATES[1:]:
        raise Invalid("choose upheld or dismissed", field="state")
    outcome = validation.line(outcome, field="outcome", longest=500, what="the outcome")
    if report.state != "open":
        raise Conflict(ALREADY_DECIDED)
    person = targets.person_of(session, report.peer, report.player_key)
    if person is not None and actor.kind == "user" and person.id == actor.id:
        raise Forbidden("you cannot decide a report about yourself")
    report.state, report.outcome = state, outcome
    report.resolved_at, report.resolved_by = utc_now(), actor.name
    session.flush()
    about = audit.Target("report", f"report:{report.id}", report.target)
    after: dict[str, Any] = {"state": state, "kind": report.kind, "message": report.message_id}
    audit.record(session, actor, Act.RESOLVE_REPORT, about, before={"state": "open"}, after=after, reason=outcome)
    return report


def get_report(session: Session, actor: Actor, report_id: int) -> Report:
    """Return a report with its reporters. Raises Forbidden, NotFound (also if it is about the actor)."""
    require(actor, Act.SEE)
    report = session.scalar(select(Report).where(Report.id == report_id, others_than(session, actor)))
    if report is None:
        raise _unknown()
    return report


def lock_report(session: Session, actor: Actor, report_id: int) -> Report:
    """Return a report, locked until the commit. Raises what `get_report` raises."""
    require(actor, Act.SEE)
    return _lock(session, Report.id == report_id, others_than(session, actor))


def _lock(session: Session, *conditions: ColumnElement[bool]) -> Report:
    report = session.scalar(
        select(Report).where(*conditions).with_for_update().execution_options(populate_existing=True)
    )
    if report is None:
        raise _unknown()
    return report


def find_next(session: Session, actor: Actor, *, after: int, now: datetime) -> int | None:
    """Return the id of the open report to decide next: the oldest after this one, else the oldest.

    Leaves out those that somebody else is working on. Raises Forbidden.
    """
    require(actor, Act.SEE)
    is_free = or_(Report.claimed_at.is_(None), Report.claimed_at <= now - CLAIM_TIME, Report.claimed_by_id == actor.id)
    waiting = select(Report.id).where(Report.state == "open", Report.id != after, is_free, others_than(session, actor))
    return session.scalar(waiting.order_by(Report.id < after, Report.id).limit(1))


def list_reports(
    session: Session, actor: Actor, *, state: str = "open", search: str = "", page: int = 1, per_page: int = 50
) -> Page[Report]:
    """Return reports in this state, or all if it is empty. Open ones oldest first, others newest. Raises Forbidden."""
    require(actor, Act.SEE)
    statement = select(Report).where(others_than(session, actor))
    statement = statement.order_by(Report.id if state == "open" else Report.id.desc())
    if state:
        statement = statement.where(Report.state == state)
    if text := search.strip():
        columns = (Report.name, Report.game, Report.quote)
        statement = statement.where(or_(*(column.icontains(text, autoescape=True) for column in columns)))
    return paginate(session, statement, page=page, per_page=per_page)


def list_reports_by(session: Session, actor: Actor, *, page: int = 1, per_page: int = 25) -> Page[Reporter]:
    """Return what the actor reported, newest first, each with its `report`."""
    statement = select(Reporter).options(joinedload(Reporter.report))
    statement = statement.where(Reporter.key == actor.key).order_by(Reporter.id.desc())
    return paginate(session, statement, page=page, per_page=per_page)


def list_reports_of_user(session: Session, actor: Actor, *, user_id: int, limit: int = 50) -> list[Reporter]:
    """Return what a user reported, for moderators, newest first. Raises Forbidden."""
    require(actor, Act.SEE)
    statement = select(Reporter).join(Reporter.report).options(contains_eager(Reporter.report))
    statement = statement.where(Reporter.key == f"user:{user_id}", others_than(session, actor))
    return list(session.scalars(statement.order_by(Reporter.id.desc()).limit(limit)))


def others_than(session: Session, actor: Actor) -> ColumnElement[bool]:
    """Return the condition for a SELECT: only reports about others, since nobody may learn who reported them."""
    if actor.kind != "user" or actor.id is None:
        return true()
    themselves = characters.players_of(session, actor.id)
    return not_(or_(*(and_(Report.peer == peer, Report.player_key == key) for peer, key in themselves)))


def list_reports_about(session: Session, actor: Actor, *, peer: str, player: str | None = None) -> list[Report]:
    """Return the reports of a game's players, or of one player (a player's key), newest first. Raises Forbidden."""
    require(actor, Act.SEE)
    statement = select(Report).where(Report.peer == peer, others_than(session, actor))
    statement = statement.order_by(Report.id.desc()).limit(200)
    if player is not None:
        statement = statement.where(Report.player_key == player)
    return list(session.scalars(statement))


def _unknown() -> NotFound:
    return NotFound("there is no such report")
