"""Checks whether the pages that people link to link back to their profile, with rel="me".

A link proves that whoever runs the page is the person of the profile. Workers check it (`worker/jobs/links.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html.parser import HTMLParser

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.models.profile import ProfileLink
from shared.models.user import User

LEASE = timedelta(minutes=10)
AGAIN_AFTER = timedelta(days=7)


@dataclass(frozen=True)
class LinkTarget:
    """A link to check, and whose profile the page must link to."""

    id: int
    url: str
    username: str


def take_due(session: Session, *, now: datetime, at_most: int) -> list[LinkTarget]:
    """Claim links whose check is due. A worker that dies delays them by LEASE."""
    rows = session.execute(
        select(ProfileLink, User.username)
        .join(User, User.id == ProfileLink.user_id)
        .where(ProfileLink.due_at <= now)
        .order_by(ProfileLink.due_at)
        .limit(at_most)
        .with_for_update(of=ProfileLink, skip_locked=True)
    ).all()
    targets = []
    for link, username in rows:
        link.due_at = now + LEASE
        targets.append(LinkTarget(link.id, link.url, username))
    return targets


def finish(session: Session, target: LinkTarget, *, is_verified: bool, now: datetime) -> None:
    """Store the result of a check. A link that was removed meanwhile is skipped."""
    link = session.get(ProfileLink, target.id)
    if link is not None and link.url == target.url:
        link.verified_at = now if is_verified else None
        link.due_at = now + AGAIN_AFTER


def links_back(page: str, profile_url: str) -> bool:
    """Return whether a page has a link to this address with rel="me". Ignores case and a slash at the end."""
    reader = _LinkReader()
    reader.feed(page)
    return _comparable(profile_url) in map(_comparable, reader.own)


def _comparable(url: str) -> str:
    return url.strip().rstrip("/").lower()


class _LinkReader(HTMLParser):
    """Collects the addresses of `<a rel="me">` and `<link rel="me">`."""

    def __init__(self) -> None:
        super().__init__()
        self.own: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("a", "link") and "me" in (values.get("rel") or "").lower().split():
            self.own.append(values.get("href") or "")
