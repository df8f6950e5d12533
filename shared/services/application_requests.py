"""How authors get credentials for a network application: they ask, and an admin decides.

The secret never passes through the admin: the author has it made, and sees it once.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, joinedload

from shared import peer_keys, validation
from shared.bus import announce
from shared.db import utc_now
from shared.errors import Conflict, Invalid, NotFound, TooMany
from shared.models.application_request import ApplicationRequest
from shared.models.credentials import Credentials
from shared.services import applications, short_names
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require
from shared.signals import CredentialsRevoked

MAX_OPEN = 3
MAX_PURPOSE = 2_000
MAX_ANSWER = 500


def create_request(session: Session, actor: Actor, *, name: str, short_name: str, purpose: str) -> ApplicationRequest:
    """Ask for an application.

    Raises:
        Forbidden, Invalid.
        NameTaken: Somebody has or had the short name.
        TooMany: Too many requests of this user are waiting for a decision.
    """
    require(actor, Act.REQUEST_APPLICATION)
    user_id = actor.require_account()
    request = ApplicationRequest(
        user_id=user_id,
        name=validation.line(name, field="name", longest=80, what="the name"),
        short_name=validation.short_name(short_name),
        purpose=_required_text(purpose, field="purpose", longest=MAX_PURPOSE, what="the purpose"),
    )
    if short_names.is_reserved(session, request.short_name):
        raise short_names.taken()
    waiting = session.scalar(
        select(func.count()).where(ApplicationRequest.user_id == user_id, ApplicationRequest.state == "open")
    )
    if (waiting or 0) >= MAX_OPEN:
        raise TooMany(f"{MAX_OPEN} of your requests are waiting for an answer: withdraw one first")
    session.add(request)
    session.flush()
    return request


def withdraw_request(session: Session, actor: Actor, *, request_id: int) -> None:
    """Delete an own request that is not decided yet. Raises NotFound, Conflict."""
    request = _own(_get(session, request_id, is_locked=True), actor)
    _require_open(request)
    session.delete(request)


def decide_request(
    session: Session, actor: Actor, *, request_id: int, is_approved: bool, answer: str
) -> ApplicationRequest:
    """Create the application, or decline. For admins.

    Raises:
        Forbidden, NotFound, Invalid.
        NameTaken: Somebody has taken the short name meanwhile.
        Conflict: The request is decided already.
    """
    require(actor, Act.MANAGE_APPLICATIONS)
    request = _get(session, request_id, is_locked=True)
    _require_open(request)
    check = validation.text if is_approved else _required_text
    answer = check(answer, field="answer", longest=MAX_ANSWER, what="the answer")
    if is_approved:
        request.application, _unused = applications.create_application(
            session, actor, name=request.name, short_name=request.short_name
        )
    request.state = "approved" if is_approved else "declined"
    request.answer, request.decided_at = answer, utc_now()
    session.flush()
    return request


def make_credentials(session: Session, actor: Actor, *, request_id: int) -> tuple[ApplicationRequest, Credentials]:
    """Make new credentials for the actor's approved application. Earlier ones stop working.

    Raises:
        NotFound: The actor has no such request, or its application was deleted.
        Conflict: The request is not approved.
    """
    request = _own(_get(session, request_id, is_locked=True), actor)
    if request.state != "approved":
        raise Conflict("an admin has not approved this application")
    if request.application is None:
        raise NotFound("this application was deleted")
    announce(session, CredentialsRevoked(peer_keys.of_application(request.application.id)))
    return request, request.application.make_credentials()


def list_own_requests(session: Session, actor: Actor) -> list[ApplicationRequest]:
    """Return the actor's requests, newest first."""
    return _list(session, ApplicationRequest.user_id == actor.require_account())


def list_open_requests(session: Session, actor: Actor) -> list[ApplicationRequest]:
    """Return all requests that wait for a decision, newest first. For admins. Raises Forbidden."""
    require(actor, Act.MANAGE_APPLICATIONS)
    return _list(session, ApplicationRequest.state == "open")


def get_request(session: Session, actor: Actor, request_id: int) -> ApplicationRequest:
    """Return a request, for admins. Raises Forbidden, NotFound."""
    require(actor, Act.MANAGE_APPLICATIONS)
    return _get(session, request_id)


def _list(session: Session, condition: ColumnElement[bool]) -> list[ApplicationRequest]:
    statement = select(ApplicationRequest).where(condition).order_by(ApplicationRequest.id.desc())
    options = (joinedload(ApplicationRequest.user), joinedload(ApplicationRequest.application))
    return list(session.scalars(statement.options(*options).limit(200)))


def _get(session: Session, request_id: int, *, is_locked: bool = False) -> ApplicationRequest:
    """Return a request, as it is now and locked until the commit if it will be changed."""
    statement = select(ApplicationRequest).where(ApplicationRequest.id == request_id)
    request = session.scalar(statement.with_for_update() if is_locked else statement)
    if request is None:
        raise _missing()
    return request


def _own(request: ApplicationRequest, actor: Actor) -> ApplicationRequest:
    if not actor.is_user(request.user_id):
        raise _missing()
    return request


def _required_text(value: str, *, field: str, longest: int, what: str) -> str:
    value = validation.text(value, field=field, longest=longest, what=what)
    if not value:
        raise Invalid(f"{what} is missing", field=field)
    return value


def _require_open(request: ApplicationRequest) -> None:
    if request.state != "open":
        raise Conflict(f"this request is {request.state} already")


def _missing() -> NotFound:
    return NotFound("there is no such request")
