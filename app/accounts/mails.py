"""The mails of accounts.

Each form that takes an address sends one mail to it, whether or not an account has it. So the response and its timing
reveal nothing to strangers; only the mail says what is the case (docs/decisions/0010-addresses.md).
"""

from __future__ import annotations

import logging

from flask import current_app, render_template, url_for
from sqlalchemy.orm import Session

from app.accounts.links import CHANGE_EMAIL, RESET, VERIFY, make_link
from app.templating import SITE_NAME
from shared.mail import Mail, Mailer, MailUnavailable
from shared.models import ApplicationRequest, User
from shared.services import accounts
from shared.settings import Settings

log = logging.getLogger(__name__)


def verification(session: Session, user: User) -> Mail:
    """Return the mail with a link that verifies the account's address, or a note that it is taken."""
    return _proof(session, user, user.email, template="verify", link=make_link(VERIFY, user), lifetime=VERIFY.lifetime)


def change_of_email(session: Session, user: User) -> Mail:
    """Return the mail with a link that confirms a new address, or a note that it is taken."""
    email = user.pending_email or user.email
    link = make_link(CHANGE_EMAIL, user, email=email)
    return _proof(session, user, email, template="change_email", link=link, lifetime=CHANGE_EMAIL.lifetime)


def reset(session: Session, email: str) -> Mail:
    """Return the mail with a reset link for each account of this address, or a note that no account has it.

    It goes to the address as the account spells it, not as the form did: that might be another mailbox.
    """
    users = accounts.list_resettable(session, email)
    links = [(user.username, make_link(RESET, user)) for user in users]
    to, link = (users[0].email, links[0][1]) if links else (email, "")
    return _mail(to, "reset", link=link, accounts=links, email=email, lifetime=RESET.lifetime)


def email_change_asked(user: User) -> Mail:
    """Return the notice to the current address that a change was requested."""
    return _mail(user.email, "email_change_asked", username=user.username, email=user.pending_email)


def email_changed(user: User, old_email: str) -> Mail:
    """Return the notice to the old address that it was replaced."""
    return _mail(old_email, "email_changed", username=user.username)


def password_changed(user: User) -> Mail:
    """Return the notice that the password was changed."""
    return _mail(user.email, "password_changed", username=user.username)


def application_decided(request: ApplicationRequest) -> Mail:
    """Return the answer to a request for a network application."""
    settings: Settings = current_app.extensions["settings"]
    return _mail(
        request.user.email,
        "application_decided",
        link=settings.public_origin + url_for("applications.index"),
        username=request.user.username,
        name=request.name,
        state=request.state,
        answer=request.answer,
    )


def send(mail: Mail) -> None:
    """Send a mail. Does nothing if the account has no address.

    Raises:
        MailUnavailable: The mail server did not accept it.
    """
    if not mail.to:
        return
    mailer: Mailer = current_app.extensions["mailer"]
    mailer.send(mail)


def send_if_possible(mail: Mail) -> bool:
    """Try to send a mail. Returns False if that failed; the log says why."""
    try:
        send(mail)
    except MailUnavailable:
        return False
    return True


def _proof(session: Session, user: User, email: str, *, template: str, link: str, lifetime: str) -> Mail:
    holder = accounts.find_verified_holder(session, email, except_id=user.id)
    if holder is None:
        return _mail(email, template, link=link, username=user.username, lifetime=lifetime)
    return _mail(email, "address_in_use", username=user.username, holder=holder.username)


def _mail(to: str, template: str, *, link: str = "", **values: object) -> Mail:
    """Return a mail from its template. The first line of the template is the subject."""
    settings: Settings = current_app.extensions["settings"]
    page = render_template(
        f"mail/{template}.txt", link=link, site_name=SITE_NAME, public_url=settings.public_url, **values
    )
    subject, _, text = page.partition("\n")
    return Mail(to=to, subject=subject, text=text.strip() + f"\n\n-- \n{SITE_NAME}, {settings.public_url}\n", link=link)
