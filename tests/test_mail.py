"""Mails go through an SMTP server or into a folder. If the server fails, there is one clear error."""

from __future__ import annotations

import email
import email.policy
import os
import socket
import ssl
import threading
import time

import pytest

from shared.mail import Mail, Mailer, MailServer, MailUnavailable, check_sender
from tests.support.endpoints import Authority

LINK = "https://x.example/?a=" + "b" * 200
MAIL = Mail(to="wren@example.com", subject="Grüße", text=f"A line.\n{LINK}\n", link=LINK)
SENDER = "Gossip <gossip@example.com>"


class SmtpServer:
    """An SMTP server that accepts one mail and every command, and records them.

    Args:
        tls: Speak TLS from the first byte.
        starts_tls: Offer STARTTLS.

    Attributes:
        encrypted: The commands received over TLS.
    """

    def __init__(
        self, *, refuses: bool = False, tls: ssl.SSLContext | None = None, starts_tls: ssl.SSLContext | None = None
    ) -> None:
        self._tls, self._starts_tls = tls, starts_tls
        self.encrypted: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.said: list[str] = []
        self.message = b""
        self._refuses = refuses
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            while self._talk(connection, greets=not isinstance(connection, ssl.SSLSocket) or self._tls is not None):
                assert self._starts_tls is not None
                connection = self._starts_tls.wrap_socket(connection, server_side=True)
        except OSError:  # the client rejected the certificate
            pass
        finally:
            connection.close()

    def _talk(self, connection: socket.socket, *, greets: bool) -> bool:
        """Handle commands until QUIT or STARTTLS. Return whether it was STARTTLS."""
        with connection.makefile("rwb") as file:

            def say(line: bytes) -> None:
                file.write(line + b"\r\n")
                file.flush()

            if greets:
                say(b"220 here")
            for line in file:
                said = line.decode().strip()
                self.said.append(said)
                if isinstance(connection, ssl.SSLSocket):
                    self.encrypted.append(said)
                word = said.upper().split(":")[0].split()[0]
                if word == "EHLO":
                    say(b"250-here")
                    if self._starts_tls is not None:
                        say(b"250-STARTTLS")
                    say(b"250 AUTH PLAIN")
                elif word == "STARTTLS":
                    say(b"220 go on")
                    return True
                elif word == "AUTH":
                    say(b"235 welcome")
                elif word == "RCPT" and self._refuses:
                    say(b"550 nobody here")
                elif word == "DATA":
                    say(b"354 go on")
                    while (part := file.readline()) != b".\r\n":
                        self.message += part
                    say(b"250 taken")
                elif word == "QUIT":
                    say(b"221 bye")
                    return False
                else:
                    say(b"250 fine")
        return False

    def close(self) -> None:
        self._thread.join(5)
        self._listener.close()


def read(source: bytes) -> email.message.EmailMessage:
    message = email.message_from_bytes(source, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    return message


def test_a_mail_goes_through_the_server(tmp_path):
    """It signs in if the setting has a name and a password. Long links are not broken."""
    server = SmtpServer()
    Mailer(server_url=f"smtp://me:p%40ss@127.0.0.1:{server.port}", sender=SENDER, instance_path=tmp_path).send(MAIL)
    server.close()
    message = read(server.message)
    assert (message["From"], message["To"], message["Subject"]) == (SENDER, "wren@example.com", "Grüße")
    assert message.get_content().replace("\r\n", "\n") == MAIL.text
    assert MAIL.link.encode() in server.message
    assert message["Message-ID"].endswith("@example.com>") and message["Auto-Submitted"] == "auto-generated"
    assert any(line.startswith("AUTH PLAIN") for line in server.said)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


ENCRYPTED = [
    ("smtp://me:p%40ss@localhost:{port}?starttls=1", "starts_tls"),
    ("smtps://me:p%40ss@localhost:{port}", "tls"),
]


@pytest.mark.parametrize(("url", "way"), ENCRYPTED)
def test_a_mail_is_sent_over_tls(tmp_path, monkeypatch, authority, url, way):
    """The password and the mail are sent only after TLS has begun, to a server with a valid certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    server = SmtpServer(**{way: authority.context("localhost")})
    Mailer(server_url=url.format(port=server.port), sender=SENDER, instance_path=tmp_path).send(MAIL)
    server.close()
    assert read(server.message).get_content().replace("\r\n", "\n") == MAIL.text
    plain = server.said[: len(server.said) - len(server.encrypted)]
    assert [line.split()[0].upper() for line in plain] == (["EHLO", "STARTTLS"] if way == "starts_tls" else [])
    assert any(line.startswith("AUTH PLAIN") for line in server.encrypted)


@pytest.mark.parametrize(("url", "way"), ENCRYPTED)
@pytest.mark.parametrize("fault", ["other name", "untrusted", "expired"])
def test_no_mail_is_sent_to_a_server_with_an_invalid_certificate(tmp_path, monkeypatch, authority, url, way, fault):
    """The password is not sent either."""
    if fault != "untrusted":
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    name = "other.example" if fault == "other name" else "localhost"
    server = SmtpServer(**{way: authority.context(name, is_expired=fault == "expired")})
    with pytest.raises(MailUnavailable):
        Mailer(server_url=url.format(port=server.port), sender=SENDER, instance_path=tmp_path).send(MAIL)
    server.close()
    assert server.encrypted == [] and server.message == b"" and not any("AUTH" in line for line in server.said)


def test_no_mail_is_sent_unencrypted_if_starttls_is_set(tmp_path):
    """An attacker in between may have removed the offer from the greeting."""
    server = SmtpServer()
    url = f"smtp://me:p%40ss@localhost:{server.port}?starttls=1"
    with pytest.raises(MailUnavailable):
        Mailer(server_url=url, sender=SENDER, instance_path=tmp_path).send(MAIL)
    server.close()
    assert not any(line.startswith(("AUTH", "MAIL")) for line in server.said)


def test_without_a_server_mails_are_files_that_only_the_owner_can_read(tmp_path):
    """A file has its name only once it is complete."""
    Mailer(server_url="", sender=SENDER, instance_path=tmp_path).send(MAIL)
    (path,) = (tmp_path / "mail").iterdir()
    assert path.suffix == ".eml" and path.stat().st_mode & 0o077 == 0 and path.parent.stat().st_mode & 0o077 == 0
    assert read(path.read_bytes()).get_content() == MAIL.text


def test_written_mails_are_removed_after_a_month(tmp_path):
    mailer = Mailer(server_url="", sender=SENDER, instance_path=tmp_path)
    mailer.send(MAIL)
    (first,) = (tmp_path / "mail").iterdir()
    os.utime(first, (time.time() - 29 * 86_400,) * 2)
    mailer.send(MAIL)
    assert first.exists()
    os.utime(first, (time.time() - 31 * 86_400,) * 2)
    mailer.send(MAIL)
    assert not first.exists() and len(list((tmp_path / "mail").iterdir())) == 2


def test_an_unreachable_or_refusing_server_raises_one_error(tmp_path):
    """The caller need not know the reason."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(MailUnavailable):
        Mailer(server_url=f"smtp://127.0.0.1:{port}", sender=SENDER, instance_path=tmp_path).send(MAIL)
    server = SmtpServer(refuses=True)
    with pytest.raises(MailUnavailable):
        Mailer(server_url=f"smtp://127.0.0.1:{server.port}", sender=SENDER, instance_path=tmp_path).send(MAIL)
    server.close()
    (tmp_path / "mail").touch()
    with pytest.raises(MailUnavailable):
        Mailer(server_url="", sender=SENDER, instance_path=tmp_path).send(MAIL)


def test_an_address_that_no_header_can_hold_raises_the_same_error(tmp_path):
    """The user gets a page that says that the mail could not be sent."""
    mailer = Mailer(server_url="", sender=SENDER, instance_path=tmp_path)
    with pytest.raises(MailUnavailable):
        mailer.send(Mail(to="ö@example.com", subject="x", text="x"))
    assert not (tmp_path / "mail").exists()


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://localhost", MailServer("localhost", 25)),
        ("smtp://h?starttls=1", MailServer("h", 587, starts_tls=True)),
        ("smtps://u%3a:p%2F@h", MailServer("h", 465, "u:", "p/", uses_tls=True)),
        ("smtp://[::1]:2525/", MailServer("::1", 2525)),
    ],
)
def test_valid_server_addresses_are_parsed(url, server):
    assert MailServer.parse(url) == server


@pytest.mark.parametrize(
    "url",
    ["smtp:", "http://h", "smtp://", "smtp://h:x", "smtp://h/path", "smtp://h?tls=1", "smtps://h?starttls=1", "mail.h"],
)
def test_invalid_server_addresses_are_refused(url):
    with pytest.raises(ValueError):
        MailServer.parse(url)


@pytest.mark.parametrize("text", ["", "gossip", "a@b@c.example", "Gossip <>", "a@example.com\nBcc: x@example.com"])
def test_invalid_senders_are_refused(text):
    with pytest.raises(ValueError):
        check_sender(text)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"MAIL_URL": "smtp://me:secret@h?tls=1"}, "MAIL_URL is not usable"),
        ({"MAIL_FROM": "nobody"}, "MAIL_FROM is 'nobody'"),
    ],
)
def test_unusable_mail_settings_are_refused(tmp_path, changed, words):
    """The message is one line without a password."""
    from shared.settings import Settings, SettingsError

    with pytest.raises(SettingsError, match=words) as refused:
        Settings.from_environment({"INSTANCE_PATH": str(tmp_path), **changed})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("public_url", "sender"),
    [
        ("https://gossip.example.com", "gossip@gossip.example.com"),
        ("http://127.0.0.1:4100", "gossip@localhost.localdomain"),
    ],
)
def test_the_default_sender_is_at_the_host_of_the_site(tmp_path, public_url, sender):
    from shared.settings import Settings

    assert Settings.from_environment({"INSTANCE_PATH": str(tmp_path), "PUBLIC_URL": public_url}).mail_from == sender
