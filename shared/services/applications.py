"""Network applications: made by admins, with credentials that are shown once."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import peer_keys
from shared.bus import announce
from shared.errors import Invalid, NotFound
from shared.models.application import SCOPES, Application
from shared.models.credentials import Credentials
from shared.services import rules, short_names, users
from shared.services.authority import actors, audit, changes
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act
from shared.signals import CredentialsRevoked


def create_application(
    session: Session, *, name: str, short_name: str, scopes: Sequence[str] = (), actor_id: int | None = None
) -> tuple[Application, Credentials]:
    """Make an application, as an admin. scopes: of SCOPES. Raises Forbidden, Invalid, NameTaken."""
    users.require_admin(session, actor_id)
    application = Application(
        name=rules.line(name, field="name", longest=80, what="the name"),
        short_name=rules.short_name(short_name),
        scopes=_scopes(scopes),
    )
    credentials = application.make_credentials()
    if short_names.is_reserved(session, application.short_name):
        raise short_names.taken()
    session.add(application)
    try:
        session.flush()
    except IntegrityError:
        raise short_names.taken() from None
    short_names.reserve(session, application.short_name, application_id=application.id)
    changes.mark(session, Part.APPLICATIONS)
    _record(session, actor_id, application, before=[])
    return application, credentials


def set_scopes(session: Session, *, short_name: str, scopes: Sequence[str], actor_id: int | None = None) -> Application:
    """Say what an application may do beside what all may; its sockets may at once. Raises Forbidden, NotFound, Invalid
    (field `scopes`)."""
    users.require_admin(session, actor_id)
    application = get_application(session, short_name)
    before, application.scopes = application.scopes, _scopes(scopes)
    _record(session, actor_id, application, before=before)
    changes.mark(session, Part.APPLICATIONS)
    return application


def _record(session: Session, actor_id: int | None, application: Application, *, before: list[str]) -> None:
    """Who may moderate on the socket is of interest to who reads the audit trail; what gives no scope is not."""
    if application.scopes == before:
        return
    audit.record(
        session,
        actors.of_admin(session, actor_id),
        Act.GIVE_SCOPES,
        audit.Target("game", peer_keys.of_application(application.id), application.short_name),
        before={"scopes": before},
        after={"scopes": application.scopes},
    )


def list_applications(session: Session) -> list[Application]:
    """Every application by short name."""
    return list(session.scalars(select(Application).order_by(func.lower(Application.short_name))))


def get_application(session: Session, short_name: str) -> Application:
    """The application of this short name in any case. Raises NotFound."""
    application = None
    if rules.may_be_kept(short_name):
        application = session.scalar(
            select(Application).where(func.lower(Application.short_name) == short_name.lower())
        )
    if application is None:
        raise NotFound(f"there is no application {short_name}", field="short_name")
    return application


def regenerate_credentials(session: Session, *, short_name: str, actor_id: int | None = None) -> Credentials:
    """Make new credentials; the old ones stop working and their sockets are closed. Raises Forbidden, NotFound."""
    users.require_admin(session, actor_id)
    application = get_application(session, short_name)
    credentials = application.make_credentials()
    announce(session, CredentialsRevoked(peer_keys.of_application(application.id)))
    return credentials


def delete_application(session: Session, *, short_name: str, actor_id: int | None = None) -> None:
    """Delete an application; its sockets are closed, its short name stays reserved. Raises Forbidden, NotFound."""
    users.require_admin(session, actor_id)
    application = get_application(session, short_name)
    announce(session, CredentialsRevoked(peer_keys.of_application(application.id)))
    session.delete(application)
    session.flush()


def _scopes(scopes: Sequence[str]) -> list[str]:
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise Invalid(f"there is no scope {unknown[0]}, only {', '.join(SCOPES)}", field="scopes")
    return sorted(set(scopes))
