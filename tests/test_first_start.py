"""The initial content of a new database."""

from __future__ import annotations

from launcher import first_start
from shared.services import users


def test_the_first_admin_gets_the_configured_address(session):
    admin = first_start.prepare(session, admin_email="me@example.com")
    user = users.authenticate_user(session, login="me@example.com", password=admin.password)
    assert (user.username, user.role, user.is_verified, user.email) == ("keeper", "admin", True, "me@example.com")
    assert first_start.prepare(session, admin_email="else@example.com") is None


def test_without_the_setting_the_first_admin_has_no_address(session):
    """Not an address that others might have, or that cannot receive mail."""
    admin = first_start.prepare(session, admin_email="")
    user = users.authenticate_user(session, login="keeper", password=admin.password)
    assert (user.role, user.email, user.is_verified, user.holds_address) == ("admin", "", False, False)
    assert users.find_holder(session, "") is None
