"""One page of a long list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of `total` items. `page` counts from 1."""

    items: list[T]
    page: int
    per_page: int
    total: int

    @property
    def pages(self) -> int:
        """The number of pages. An empty list has one."""
        return max(1, -(-self.total // self.per_page))

    @property
    def has_prev(self) -> bool:
        """True if there is a page before this one."""
        return self.page > 1

    @property
    def has_next(self) -> bool:
        """True if there is a page after this one."""
        return self.page < self.pages


def page_of(ids: Sequence[T], *, page: int, per_page: int) -> Page[T]:
    """Return one page of a whole list. A page past the end becomes the last one."""
    page = min(max(1, page), max(1, -(-len(ids) // per_page)))
    return Page(list(ids[(page - 1) * per_page : page * per_page]), page, per_page, len(ids))


def paginate(session: Session, statement: Select[Any], *, page: int, per_page: int) -> Page[Any]:
    """Run an ordered SELECT of one entity for one page. A page past the end becomes the last one."""
    total = session.scalar(select(func.count()).select_from(statement.order_by(None).subquery())) or 0
    pages = max(1, -(-total // per_page))
    page = min(max(1, page), pages)
    items = list(session.scalars(statement.limit(per_page).offset((page - 1) * per_page)))
    return Page(items, page, per_page, total)
