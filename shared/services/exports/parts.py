"""Parts of an export: which rows of a table it contains, and which columns it leaves out, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, Table, select

from shared.db import Base

SECRET = "a secret"
OTHERS = "about somebody else"
STAFF = "which member of the staff acted"


@dataclass(frozen=True)
class Part:
    """The rows of one table that an export contains, as one file.

    Attributes:
        name: The name of the file, without `.json`.
        title: What is in it, for people.
        left_out: Columns that the file does not contain, with the reason.
        extra: Further values of each row, such as the name that belongs to an id.
    """

    name: str
    title: str
    model: type[Base]
    where: ColumnElement[bool]
    left_out: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)

    @property
    def table(self) -> Table:
        """The table of the model."""
        table = self.model.__table__
        assert isinstance(table, Table)
        return table

    def columns(self) -> list[Column[Any]]:
        """Return the columns that the file contains."""
        return [column for column in self.table.columns if column.name not in self.left_out]

    def statement(self) -> Select[Any]:
        """Return the query for the rows, in the order of the primary key."""
        extra = [value.label(name) for name, value in self.extra.items()]
        return select(*self.columns(), *extra).where(self.where).order_by(*self.table.primary_key)


@dataclass(frozen=True)
class Export:
    """Everything that goes into one archive.

    Attributes:
        about: Whom or what it is about, for the first line of the archive's README.
        not_included: Other things that are stored, with the reason why they are not in it.
    """

    about: str
    parts: list[Part]
    not_included: Mapping[str, str]
