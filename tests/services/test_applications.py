"""Network applications: created by admins, with credentials that are shown once."""

from __future__ import annotations

import pytest

from shared import peer_keys
from shared.bus import take_announcements
from shared.errors import Forbidden, Invalid, InvalidCredentials, NameTaken, NotFound
from shared.models.credentials import secret_matches
from shared.services import applications, versions
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from shared.signals import CredentialsRevoked
from tests.support.credentials import authenticate_peer


def test_an_application_gets_credentials_that_are_kept_as_a_digest(session):
    application, credentials = applications.create_application(
        session, OPERATOR, name=" The Mirror ", short_name="Mirror"
    )
    assert application.name == "The Mirror"
    assert credentials.client_secret not in application.client_secret_digest
    assert secret_matches(credentials.client_secret.upper(), application.client_secret_digest)
    peer = authenticate_peer(
        session, client_id=credentials.client_id.upper(), client_secret=credentials.client_secret.upper()
    )
    assert (peer.key, peer.is_application, peer.is_displayed) == (f"application:{application.id}", True, False)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "nul\0"}, "name"),
        ({"short_name": ""}, "short_name"),
        ({"short_name": "with space"}, "short_name"),
        ({"short_name": "x" * 16}, "short_name"),
        ({"short_name": "Grapevine"}, "short_name"),
    ],
)
def test_bad_applications_are_refused(session, fields, field):
    with pytest.raises(Invalid) as refused:
        applications.create_application(session, OPERATOR, **{"name": "The Mirror", "short_name": "Mirror", **fields})
    assert refused.value.field == field


@pytest.mark.usefixtures("any_database")
def test_short_names_are_shared_with_games(make, session):
    make.game("Tea")
    with pytest.raises(NameTaken):
        make.application("tea")
    make.application("Mirror")
    with pytest.raises(NameTaken):
        make.application("MIRROR")


def test_only_admins_manage_applications(make, session):
    player, admin = make.user(), make.admin()
    make.application("Mirror")
    for forbidden in (
        lambda: applications.create_application(session, actors.of_user(session, player.id), name="X", short_name="X"),
        lambda: applications.regenerate_credentials(session, actors.of_user(session, player.id), short_name="Mirror"),
        lambda: applications.delete_application(session, actors.of_user(session, player.id), short_name="Mirror"),
    ):
        with pytest.raises(Forbidden):
            forbidden()
    applications.regenerate_credentials(session, actors.of_user(session, admin.id), short_name="mirror")
    applications.delete_application(session, actors.of_user(session, admin.id), short_name="MIRROR")
    with pytest.raises(NotFound):
        applications.get_application(session, "Mirror")


def test_regenerating_ends_the_old_credentials_and_is_announced(make, session):
    application, old = make.application_with_credentials()
    session.commit()
    take_announcements(session)
    new = applications.regenerate_credentials(session, OPERATOR, short_name=application.short_name)
    session.commit()
    assert take_announcements(session) == [CredentialsRevoked(peer_keys.of_application(application.id))]
    assert application.credentials_serial == 2
    with pytest.raises(InvalidCredentials):
        authenticate_peer(session, client_id=old.client_id, client_secret=old.client_secret)
    assert authenticate_peer(session, client_id=new.client_id, client_secret=new.client_secret)


def test_deleting_is_announced(make, session):
    application = make.application()
    session.commit()
    take_announcements(session)
    applications.delete_application(session, OPERATOR, short_name=application.short_name)
    session.commit()
    assert take_announcements(session) == [CredentialsRevoked(peer_keys.of_application(application.id))]


def test_applications_are_not_synced(make, session):
    make.application()
    session.commit()
    assert versions.last_cursor(session) == 0


def test_applications_are_listed_by_short_name_in_any_case(make, session):
    for name in ("b", "A", "C"):
        make.application(name)
    assert [application.short_name for application in applications.list_applications(session)] == ["A", "b", "C"]
