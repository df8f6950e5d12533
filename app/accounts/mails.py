"""The mails of accounts.

Each form that takes an address sends one mail to it, whoever has it or nobody: the answer, and how long it takes, tell
a stranger nothing, and whoever reads the mail is told all (docs/decisions/0010-addresses.md).
"""

from __future__ import annotations

import logging

from flask import current_app, render_template
from sqlalchemy.orm import Session

from app.accounts.links import CHANGE_EMAIL, RESET, VERIFY, make_link
from app.templating import SITE_NAME
from shared.mail import Mail, Mailer, MailUnavailable
from shared.models import User
from shared.services import accounts
from shared.settings import Settings

log = logging.getLogger(__name__)


def verification(session: Session, user: User) -> Mail:
    """To the address that an account gave: a link that proves it, or word that another account has it."""
    return _proof(session, user, user.email, template="verify", link=make_link(VERIFY, user), lifetime=VERIFY.lifetime)


def change_of_email(session: Session, user: User) -> Mail:
    """To the address that an account asks to have: a link that gives it, or word that another account has it."""
    email = user.pending_email or user.email
    link = make_link(CHANGE_EMAIL, user, email=email)
    return _proof(session, user, email, template="change_email", link=link, lifetime=CHANGE_EMAIL.lifetime)


def reset(session: Session, email: str) -> Mail:
    """A link for each account that may be reset by a mail to this address, or word that there is none.

    Sent to the address as the account has it, never as a stranger spelled it: it has to be the same mailbox.
    """
    users = accounts.list_resettable(session, email)
    found = [(user.username, make_link(RESET, user)) for user in users]
    to, link = (users[0].email, found[0][1]) if found else (email, "")
    return _mail(to, "reset", link=link, accounts=found, email=email, lifetime=RESET.lifetime)


def email_change_asked(user: User) -> Mail:
    """To the address that an account still has."""
    return _mail(user.email, "email_change_asked", username=user.username, email=user.pending_email)


def email_changed(user: User, old_email: str) -> Mail:
    """To the address that an account had."""
    return _mail(old_email, "email_changed", username=user.username)


def password_changed(user: User) -> Mail:
    """To the address of an account whose password is another."""
    return _mail(user.email, "password_changed", username=user.username)


def send(mail: Mail) -> None:
    """Send a mail; nothing to an account that has no address. Raises MailUnavailable."""
    if not mail.to:
        return
    mailer: Mailer = current_app.extensions["mailer"]
    mailer.send(mail)


def send_if_possible(mail: Mail) -> bool:
    """Send a mail that nothing depends on. False if it could not be sent; the log says why."""
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
    """A mail from its template, whose first line is the subject."""
    settings: Settings = current_app.extensions["settings"]
    page = render_template(
        f"mail/{template}.txt", link=link, site_name=SITE_NAME, public_url=settings.public_url, **values
    )
    subject, _, text = page.partition("\n")
    return Mail(to=to, subject=subject, text=text.strip() + f"\n\n-- \n{SITE_NAME}, {settings.public_url}\n", link=link)
