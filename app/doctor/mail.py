"""The mail server: reachable, accepts the password; with `--mail-to`, accepts a mail."""

from __future__ import annotations

import smtplib

from app.doctor.findings import Check, Findings, one_line
from shared.mail import Mail, Mailer, MailServer, MailUnavailable, connect
from shared.settings import Settings


def mail_check(recipient: str | None) -> Check:
    """Return the check of MAIL_URL. With a recipient, it also sends a mail."""

    def check(settings: Settings, findings: Findings) -> None:
        if not settings.mail_url:
            findings.warn(
                "MAIL_URL is not set: mails are written to files, and nobody can reset a password",
                "set MAIL_URL to your mail server before you let other people in",
            )
            return
        server = MailServer.parse(settings.mail_url)
        try:
            with connect(server):
                pass
        except (OSError, smtplib.SMTPException) as error:
            findings.fail(f"{server.host}:{server.port} does not serve us: {one_line(error)}", _advice(error))
            return
        findings.ok(
            f"{server.host}:{server.port} can be reached{' and accepts the password' if server.username else ''}"
        )
        if recipient:
            _send(settings, recipient, findings)

    return check


def _send(settings: Settings, recipient: str, findings: Findings) -> None:
    mailer = Mailer(server_url=settings.mail_url, sender=settings.mail_from, instance_path=settings.instance_path)
    text = f"This is a test from {settings.public_url}.\n\nIf you can read it, mails from this site arrive.\n"
    try:
        mailer.send(Mail(recipient, "Test of your Gossip network", text))
    except MailUnavailable as error:
        cause = error.__cause__ or error
        findings.fail(
            f"a mail to {recipient} was not accepted: {one_line(cause)}",
            f"check MAIL_FROM, which is {settings.mail_from}: the mail server must accept it as a sender",
        )
        return
    findings.ok(f"a mail to {recipient} was accepted; look whether it arrives, and not as spam")


def _advice(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "check the user name and the password in MAIL_URL, with special characters as %40"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "the server has no STARTTLS or no login: check ?starttls=1 and the port in MAIL_URL"
    return "check the host and the port in MAIL_URL, and whether your provider blocks outgoing mail"
