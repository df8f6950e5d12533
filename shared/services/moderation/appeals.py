"""Appeals: the word of who is sanctioned against the sanction, decided by another than who acted."""

from __future__ import annotations

import json

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from shared import validation
from shared.db import utc_now
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.models.moderation import Sanction
from shared.models.report import Appeal
from shared.pagination import Page, paginate
from shared.services.authority import audit
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require
from shared.services.moderation import sanctions


def create_appeal(session: Session, actor: Actor, *, sanction_id: int, text: str) -> Appeal:
    """Appeal a sanction that concerns the actor (`sanctions.concerns`). Each sanction may be appealed once.

    Raises Forbidden, NotFound (also if it does not concern the actor), Conflict (appealed already, or over), Invalid.
    """
    require(actor, Act.APPEAL)
    assert actor.id is not None
    sanction = sanctions.get_sanction(session, sanction_id)
    if not sanctions.concerns(session, sanction, actor.id):
        raise NotFound("there is no such sanction")
    text = validation.text(text, field="text", longest=2_000, what="the appeal")
    if not text:
        raise Invalid("say why the sanction should end", field="text")
    if (
        sanction.is_undone
        or sanction.lifted_at is not None
        or (sanction.kind != "warn" and sanction.state != "in force")
    ):
        raise Conflict("this sanction is over, there is nothing to appeal")
    appeal = Appeal(sanction_id=sanction.id, user_id=actor.id, username=actor.name, text=text)
    try:
        with session.begin_nested():
            session.add(appeal)
    except IntegrityError:
        raise Conflict("you have already appealed this sanction, and each may be appealed once") from None
    return appeal


def decide_appeal(session: Session, actor: Actor, *, appeal_id: int, is_granted: bool, outcome: str) -> Appeal:
    """Grant an appeal, which undoes the sanction, or refuse it. The appellant sees the outcome.

    Raises Forbidden (see `may_decide`), NotFound, Conflict (decided already), Invalid.
    """
    require(actor, Act.DECIDE_APPEAL)
    appeal = session.scalar(
        select(Appeal)
        .where(Appeal.id == appeal_id)
        .with_for_update(of=Appeal)
        .execution_options(populate_existing=True)
    )
    if appeal is None:
        raise NotFound("there is no such appeal")
    outcome = validation.line(outcome, field="outcome", longest=500, what="the outcome")
    if appeal.state != "open":
        raise Conflict("this appeal has already been decided")
    _require_decider(session, actor, appeal)
    appeal.state, appeal.outcome = "granted" if is_granted else "refused", outcome
    appeal.decided_at, appeal.decided_by = utc_now(), actor.name
    session.flush()
    about = audit.Target("appeal", f"appeal:{appeal.id}", appeal.sanction.target)
    after = {"state": appeal.state, "sanction": appeal.sanction_id}
    audit.record(session, actor, Act.DECIDE_APPEAL, about, before={"state": "open"}, after=after, reason=outcome)
    if is_granted:
        sanctions.end_by_appeal(session, actor, sanction_id=appeal.sanction_id, reason=outcome)
    return appeal


def may_decide(session: Session, actor: Actor, appeal: Appeal) -> bool:
    """Return False if the actor imposed, restored or appealed the sanction, or may not end it.

    See `sanctions.require_other` for who may end which sanction.
    """
    try:
        _require_decider(session, actor, appeal)
    except Forbidden:
        return False
    return True


def _require_decider(session: Session, actor: Actor, appeal: Appeal) -> None:
    about = appeal.sanction
    if (about.actor_kind, about.actor_id) == (actor.kind, actor.id) or _has_restored(session, actor, about):
        raise Forbidden("you imposed or restored this sanction, so somebody else must decide the appeal")
    if actor.kind == "user" and appeal.user_id == actor.id:
        raise Forbidden("you cannot decide your own appeal")
    sanctions.require_other(session, actor, about)


def _has_restored(session: Session, actor: Actor, about: Sanction) -> bool:
    entries = audit.list_of(session, actor, Act.RESTORE, sanctions.target_of(about).for_audit)
    return any(json.loads(entry.after or "{}").get("id") == about.id for entry in entries)


def list_appeals(
    session: Session, actor: Actor, *, state: str = "open", page: int = 1, per_page: int = 50
) -> Page[Appeal]:
    """Return appeals in this state, or all if it is empty. Open ones oldest first, others newest. Raises Forbidden."""
    require(actor, Act.SEE)
    statement = select(Appeal).options(joinedload(Appeal.sanction))
    statement = statement.order_by(Appeal.id if state == "open" else Appeal.id.desc())
    if state:
        statement = statement.where(Appeal.state == state)
    return paginate(session, statement, page=page, per_page=per_page)


def list_appeals_of(session: Session, user_id: int) -> list[Appeal]:
    """Return a user's own appeals, newest first."""
    statement = select(Appeal).where(Appeal.user_id == user_id).order_by(Appeal.id.desc()).limit(200)
    return list(session.scalars(statement.options(joinedload(Appeal.sanction))))
