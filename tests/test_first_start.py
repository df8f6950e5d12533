"""What a new database begins with."""

from __future__ import annotations

from launcher import first_start
from shared.services import users


def test_the_first_admin_has_the_address_of_the_setting(session):
    admin = first_start.prepare(session, admin_email="me@example.com")
    user = users.authenticate_user(session, login="me@example.com", password=admin.password)
    assert (user.username, user.role, user.is_verified, user.email) == ("keeper", "admin", True, "me@example.com")
    assert first_start.prepare(session, admin_email="else@example.com") is None


def test_without_the_setting_the_first_admin_has_none(session):
    """No address that others might have, or that no mail can reach."""
    admin = first_start.prepare(session, admin_email="")
    user = users.authenticate_user(session, login="keeper", password=admin.password)
    assert (user.role, user.email, user.is_verified, user.holds_address) == ("admin", "", False, False)
    assert users.find_holder(session, "") is None
