"""How an author gets credentials for a network application: a request, an admin's decision, a secret shown once."""

from __future__ import annotations

import re

import pytest

from shared import db
from shared.models import Application, ApplicationRequest
from shared.models.credentials import secret_matches
from shared.services import accounts
from shared.services.authority import actors
from tests.support.factory import PASSWORD

pytestmark = pytest.mark.usefixtures("any_database")

ATLAS = {"name": "Atlas", "short_name": "Atlas", "purpose": "A map of all games. Run by wren@example.com."}


@pytest.fixture
def author(new_visitor, stored):
    stored.user("wren", is_verified=True)
    return new_visitor().sign_in("wren")


@pytest.fixture
def admin(new_visitor, stored):
    stored.admin("keeper")
    return new_visitor().sign_in("keeper")


def ask(author, **fields: str) -> int:
    assert author.send("/account/applications/new", **{**ATLAS, **fields}).status_code == 303, author.page
    with db.reading() as session:
        return session.query(ApplicationRequest.id).order_by(ApplicationRequest.id.desc()).limit(1).scalar()


def decide(admin, number: int, **fields: str) -> str:
    return admin.send(f"/admin/applications/requests/{number}", follow=True, **fields).get_data(as_text=True)


def test_an_author_gets_credentials_that_an_admin_has_approved(author, admin, mailbox) -> None:
    number = ask(author)
    assert "waiting for an admin" in author.open("/account/applications")
    assert "Atlas" in admin.open("/admin/applications")
    assert "A map of all games." in admin.open(f"/admin/applications/requests/{number}")
    page = decide(admin, number, decision="approve", answer="Welcome!")
    assert "The request for Atlas is approved" in page and "client-secret" not in page
    mail = mailbox.take()[-1].get_content()
    assert "Welcome!" in mail and "/account/applications" in mail
    assert "Welcome!" in author.open("/account/applications")
    author.send(f"/account/applications/{number}/credentials", form_on="/account/applications", follow=True)
    shown = {name: author.text_of(name) for name in ("client-id", "client-secret")}
    with db.reading() as session:
        application = session.query(Application).one()
        assert application.client_id == shown["client-id"]
        assert secret_matches(shown["client-secret"] or "", application.client_secret_digest)
        assert application.scopes == []
    assert shown["client-secret"] not in author.open("/account/applications")  # only once


def test_a_declined_request_has_a_reason_and_no_credentials(author, admin) -> None:
    number = ask(author)
    assert "answer is missing" in decide(admin, number, decision="decline", answer="")
    decide(admin, number, decision="decline", answer="There is a map already.")
    assert "There is a map already." in author.open("/account/applications")
    token = author.token("/account/applications/new")
    answer = author.client.post(f"/account/applications/{number}/credentials", data={"csrf_token": token})
    assert answer.status_code == 409
    assert "declined already" in decide(admin, number, decision="approve", answer="")
    with db.reading() as session:
        assert session.query(Application).count() == 0


def test_nobody_else_can_use_a_request(author, admin, new_visitor, stored) -> None:
    number = ask(author)
    decide(admin, number, decision="approve", answer="")
    stored.user("odo")
    stranger = new_visitor().sign_in("odo")
    token = stranger.token("/account/applications/new")
    for act in ("credentials", "withdraw"):
        path = f"/account/applications/{number}/{act}"
        assert stranger.client.post(path, data={"csrf_token": token}).status_code == 404
    assert "Atlas" not in stranger.open("/account/applications")


def test_requests_are_limited_and_can_be_withdrawn(author, stored) -> None:
    stored.game("Harbour")
    author.send("/account/applications/new", **{**ATLAS, "short_name": "harbour"})
    assert author.status == 422 and "taken" in (author.problem_of("short_name") or "")
    numbers = [ask(author, short_name=f"Atlas{count}") for count in range(3)]
    author.send("/account/applications/new", **ATLAS)
    assert "withdraw one first" in author.page
    author.send(f"/account/applications/{numbers[0]}/withdraw", form_on="/account/applications", follow=True)
    assert "Atlas0" not in author.page
    ask(author)


def test_a_name_that_was_taken_meanwhile_is_refused_and_nothing_changes(author, admin, stored) -> None:
    number = ask(author)
    stored.game("Atlas")
    page = decide(admin, number, decision="approve", answer="Fine")
    assert "taken" in page and "Nothing was decided" in page
    assert re.search(r"waiting for an admin", author.open("/account/applications"))


def test_requests_go_with_the_account_and_outlive_the_application(author, admin) -> None:
    number = ask(author)
    decide(admin, number, decision="approve", answer="")
    admin.send("/admin/applications/Atlas/delete", form_on="/admin/applications/Atlas")
    assert "deleted this application" in author.open("/account/applications")
    with db.transaction() as session:
        user = session.get(ApplicationRequest, number).user
        accounts.delete_account(session, actors.of_user(session, user.id), password=PASSWORD)
    with db.reading() as session:
        assert session.query(ApplicationRequest).count() == 0
