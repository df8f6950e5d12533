"""Network applications: created by admins, with credentials that are shown once."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import peer_keys, validation
from shared.bus import announce
from shared.errors import Invalid, NotFound
from shared.models.application import SCOPES, Application
from shared.models.credentials import Credentials
from shared.services import short_names
from shared.services.authority import audit, changes
from shared.services.authority.actors import Actor
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act, require
from shared.services.oauth import revocation
from shared.signals import CredentialsRevoked


def create_application(
    session: Session, actor: Actor, *, name: str, short_name: str, scopes: Sequence[str] = ()
) -> tuple[Application, Credentials]:
    """Create an application. For admins.

    Args:
        scopes: Some of SCOPES; what it may do beyond what all applications may.

    Returns:
        The application and its credentials, in clear here and nowhere else.

    Raises Forbidden, Invalid, NameTaken.
    """
    require(actor, Act.MANAGE_APPLICATIONS)
    application = Application(
        name=validation.line(name, field="name", longest=80, what="the name"),
        short_name=validation.short_name(short_name),
        scopes=_clean_scopes(scopes),
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
    _record_scopes(session, actor, application, before=[])
    return application, credentials


def set_scopes(session: Session, actor: Actor, *, short_name: str, scopes: Sequence[str]) -> Application:
    """Replace an application's scopes. Its open sockets have them at once. For admins.

    Raises Forbidden, NotFound, Invalid (field `scopes`).
    """
    require(actor, Act.GIVE_SCOPES)
    application = get_application(session, short_name)
    before, application.scopes = application.scopes, _clean_scopes(scopes)
    _record_scopes(session, actor, application, before=before)
    changes.mark(session, Part.APPLICATIONS)
    return application


def regenerate_credentials(session: Session, actor: Actor, *, short_name: str) -> Credentials:
    """Replace the credentials; the old ones stop working and their sockets are closed. For admins.

    Raises Forbidden, NotFound.
    """
    require(actor, Act.MANAGE_APPLICATIONS)
    application = get_application(session, short_name)
    credentials = application.make_credentials()
    revocation.revoke_of_application(session, application.id)
    announce(session, CredentialsRevoked(peer_keys.of_application(application.id)))
    return credentials


def delete_application(session: Session, actor: Actor, *, short_name: str) -> None:
    """Delete an application and close its sockets; its short name stays reserved. For admins.

    Raises Forbidden, NotFound.
    """
    require(actor, Act.MANAGE_APPLICATIONS)
    application = get_application(session, short_name)
    announce(session, CredentialsRevoked(peer_keys.of_application(application.id)))
    session.delete(application)
    session.flush()


def list_applications(session: Session) -> list[Application]:
    """Return all applications by short name."""
    return list(session.scalars(select(Application).order_by(func.lower(Application.short_name))))


def get_application(session: Session, short_name: str) -> Application:
    """Return the application with this short name in any case. Raises NotFound."""
    application = None
    if validation.is_storable(short_name):
        application = session.scalar(
            select(Application).where(func.lower(Application.short_name) == short_name.lower())
        )
    if application is None:
        raise NotFound(f"there is no application {short_name}", field="short_name")
    return application


def _record_scopes(session: Session, actor: Actor, application: Application, *, before: list[str]) -> None:
    """Record a change of scopes in the audit trail, since a scope lets an application moderate."""
    if application.scopes == before:
        return
    audit.record(
        session,
        actor,
        Act.GIVE_SCOPES,
        audit.Target("game", peer_keys.of_application(application.id), application.short_name),
        before={"scopes": before},
        after={"scopes": application.scopes},
    )


def _clean_scopes(scopes: Sequence[str]) -> list[str]:
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise Invalid(f"there is no scope {unknown[0]}, only {', '.join(SCOPES)}", field="scopes")
    return sorted(set(scopes))
