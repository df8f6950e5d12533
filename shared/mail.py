"""Mail: sent through an SMTP server, or written to a folder if none is set, so that people can try the site.

A mail is sent within the request, so that the page can report a failure. At most SENT_AT_ONCE are sent at a time, so
that a mail server that hangs does not block the whole site.
"""

from __future__ import annotations

import contextlib
import smtplib
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog

from shared.errors import Unavailable

TIMEOUT_SECONDS = 5.0
SENT_AT_ONCE = 2
PORTS = {"smtp": 25, "smtps": 465}
SUBMISSION_PORT = 587  # of smtp:// with STARTTLS (RFC 6409)
FOLDER = "mail"
KEPT = timedelta(days=30)  # of written mails; no link in them is valid for longer

_log = structlog.get_logger(__name__)


class MailUnavailable(Unavailable):
    """The mail server did not accept the mail. Nothing else went wrong: the user can try again later."""

    code = "mail-unavailable"


@dataclass(frozen=True)
class Mail:
    """A plain-text mail to one person. `link` is the link in it; without a mail server it is logged on the terminal."""

    to: str
    subject: str
    text: str
    link: str = ""


@dataclass(frozen=True)
class MailServer:
    """The SMTP server. `uses_tls`: TLS from the first byte; `starts_tls`: after the greeting."""

    host: str
    port: int
    username: str = ""
    password: str = ""
    uses_tls: bool = False
    starts_tls: bool = False

    @classmethod
    def parse(cls, url: str) -> MailServer:
        """Parse smtp://user:password@host:port?starttls=1 or smtps://…. Messages of ValueErrors hold no secrets."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("it is not an address") from None
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        starttls = options.pop("starttls", "0")
        if parts.scheme not in PORTS or not host or parts.path.strip("/") or options or starttls not in ("0", "1"):
            raise ValueError("it must look like smtp://user:password@host:587?starttls=1 or smtps://user:password@host")
        if parts.scheme == "smtps" and starttls == "1":
            raise ValueError("smtps:// is encrypted from the start, so starttls=1 does not apply")
        starts_tls = starttls == "1"
        username, password = unquote(parts.username or ""), unquote(parts.password or "")
        if not (username + password).isascii():  # smtplib signs in with ASCII alone
            raise ValueError("its user and password may only have ASCII characters")
        return cls(
            host=host,
            port=port or (SUBMISSION_PORT if starts_tls else PORTS[parts.scheme]),
            username=username,
            password=password,
            uses_tls=parts.scheme == "smtps",
            starts_tls=starts_tls,
        )


def check_sender(text: str) -> str:
    """Return a sender, bare or as `Name <address>`, with its domain in ASCII, which all mail servers understand.

    Raises:
        ValueError: It is not a sender address. The message is for people.
    """
    from email_validator import EmailNotValidError, validate_email  # imported here because it is slow to import

    name, address = parseaddr(text)
    try:
        if not text.isprintable():
            raise ValueError
        ascii_address = validate_email(address, check_deliverability=False, test_environment=True).ascii_email
        if ascii_address is None:  # the part before the @ is not ASCII
            raise ValueError
        Address(name, addr_spec=address)
    except (EmailNotValidError, ValueError, IndexError):
        raise ValueError("it must look like gossip@example.com or Gossip <gossip@example.com>") from None
    return text if address.isascii() else text.replace(address, ascii_address)


@contextlib.contextmanager
def connect(server: MailServer) -> Iterator[smtplib.SMTP]:
    """Connect to a mail server and sign in.

    Raises:
        OSError, SMTPException: The server cannot be reached, has no valid certificate, or refuses the password.
    """
    tls = ssl.create_default_context()
    with (
        smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_SECONDS, context=tls)
        if server.uses_tls
        else smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
    ) as client:
        if server.starts_tls:
            client.starttls(context=tls)
        if server.username:
            client.login(server.username, server.password)
        yield client


class Mailer:
    """Sends mails through the server of MAIL_URL. Without one, writes them to the folder `mail` of the instance."""

    def __init__(self, *, server_url: str, sender: str, instance_path: Path) -> None:
        self._server = MailServer.parse(server_url) if server_url else None
        self._sender = sender
        self._folder = instance_path / FOLDER
        self._slots = threading.BoundedSemaphore(SENT_AT_ONCE)

    def send(self, mail: Mail) -> None:
        """Send a mail, or write it to the folder. Raises MailUnavailable."""
        try:
            message = self._message(mail)
            if self._server is None:
                self._write(mail, message)
            else:
                self._deliver(self._server, message)
        except (OSError, smtplib.SMTPException, ValueError) as error:  # ValueError: no header can hold the address
            _log.error("a mail could not be sent", subject=mail.subject, error=f"{type(error).__name__}: {error}")
            raise MailUnavailable(
                "the mail could not be sent, because our mail server does not accept it now"
            ) from error

    def _message(self, mail: Mail) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = Address(addr_spec=_ascii(mail.to))
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = make_msgid(domain=parseaddr(self._sender)[1].rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: asks other programs not to reply
        # Not encoded if possible, so that links in a written mail stay whole.
        message.set_content(mail.text, cte="7bit" if mail.text.isascii() else "quoted-printable")
        return message

    def _deliver(self, server: MailServer, message: EmailMessage) -> None:
        if not self._slots.acquire(timeout=TIMEOUT_SECONDS):
            raise TimeoutError("too many mails are waiting for the server")
        try:
            with connect(server) as client:
                client.send_message(message)
        finally:
            self._slots.release()

    def _write(self, mail: Mail, message: EmailMessage) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%f}-{uuid.uuid4().hex[:8]}.eml"
        draft = path.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_bytes(bytes(message))
        draft.rename(path)
        link = {"link": mail.link} if mail.link else {}
        _log.info("a mail was written, since MAIL_URL is not set", to=mail.to, subject=mail.subject, **link)
        self._remove_old()

    def _remove_old(self) -> None:
        oldest = time.time() - KEPT.total_seconds()
        for path in self._folder.glob("*.eml"):
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                if path.stat().st_mtime < oldest:
                    path.unlink()


def _ascii(address: str) -> str:
    """Return the address with its host in ASCII (punycode), or unchanged if that is not possible."""
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(address, check_deliverability=False, test_environment=True).ascii_email or address
    except EmailNotValidError:
        return address
