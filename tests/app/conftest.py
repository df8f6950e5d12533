"""A visitor of the site who opens pages and sends their forms as a browser would, including the CSRF token."""

from __future__ import annotations

import email
import email.policy
import html
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from argon2 import PasswordHasher

from shared.services import users
from tests.support.factory import PASSWORD

if TYPE_CHECKING:
    from email.message import EmailMessage

    from flask import Flask
    from werkzeug.test import TestResponse

    from shared.settings import Settings

TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class Visitor:
    """A browser with its own cookies. `answer` is the last response, `page` its text with entities resolved."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()
        self.answer: TestResponse

    @property
    def page(self) -> str:
        return html.unescape(self.answer.get_data(as_text=True))

    @property
    def status(self) -> int:
        return self.answer.status_code

    def open(self, path: str) -> str:
        """Open a page, follow redirects, and return its text."""
        self.answer = self.client.get(path, follow_redirects=True)
        return self.page

    def token(self, page: str) -> str:
        """Return the CSRF token of the forms on a page."""
        match = TOKEN.search(self.client.get(page, follow_redirects=True).get_data(as_text=True))
        assert match, f"no form on {page}"
        return match[1]

    def send(self, path: str, *, form_on: str | None = None, follow: bool = False, **fields: str) -> TestResponse:
        """Fill in the form on `form_on` (default: `path`) and post it to `path`."""
        token = self.token(form_on or path)
        self.answer = self.client.post(path, data={"csrf_token": token, **fields}, follow_redirects=follow)
        return self.answer

    def sign_in(self, login: str, password: str = PASSWORD) -> Visitor:
        answer = self.send("/sign-in", login=login, password=password)
        assert answer.status_code == 303, self.page
        return self

    def text_of(self, element_id: str) -> str | None:
        """Return the text of the element with this id on the last page; None if there is none."""
        match = re.search(rf'id="{element_id}"[^>]*>([^<]*)<', self.answer.get_data(as_text=True))
        return html.unescape(match[1]) if match else None

    def problem_of(self, field: str) -> str | None:
        """Return the error shown beside a field. Checks that the input refers to it."""
        problem = self.text_of(f"{field}-problem")
        if problem is not None:
            tag = re.search(rf'<(?:input|select|textarea)[^>]*id="{field}"[^>]*>', self.page)
            assert tag and 'aria-invalid="true"' in tag[0] and f"{field}-problem" in tag[0], f"{field}: {tag}"
        return problem

    def value_of(self, field: str) -> str | None:
        """Return the value of an input."""
        tag = re.search(rf'<input[^>]*id="{field}"[^>]*>', self.answer.get_data(as_text=True))
        match = tag and re.search(r'value="([^"]*)"', tag[0])
        return html.unescape(match[1]) if match else None


@pytest.fixture(autouse=True)
def _quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords quickly: slow hashes would take most of the time of these tests."""
    monkeypatch.setattr(users, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def new_visitor(app: Flask) -> Callable[[], Visitor]:
    """Return a function that opens a new browser with its own cookies."""
    return lambda: Visitor(app)


@pytest.fixture
def visitor(new_visitor: Callable[[], Visitor]) -> Visitor:
    """A visitor who is not signed in."""
    return new_visitor()


class Mailbox:
    """The mails that the site wrote to files. Each is read once."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.instance_path / "mail"
        self._read: set[str] = set()

    def take(self) -> list[EmailMessage]:
        """Return new mails, oldest first."""
        new = sorted(path for path in self._folder.glob("*.eml") if path.name not in self._read)
        self._read.update(path.name for path in new)
        return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in new]  # type: ignore[misc]

    def take_one(self, *, to: str) -> str:
        """Return the text of the only new mail, which must be to this address."""
        (mail,) = self.take()
        assert mail["To"] == to
        return str(mail.get_content())

    def take_link(self, *, to: str) -> str:
        """Return the path of the only link in the only new mail."""
        (link,) = re.findall(r"^http://[^/\s]+(/\S+)$", self.take_one(to=to), re.MULTILINE)
        return str(link)


@pytest.fixture
def mailbox(settings: Settings) -> Mailbox:
    """The mails of this test's site."""
    return Mailbox(settings)
