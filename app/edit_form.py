"""Forms that change a record, of which several may be open at once: in two tabs, or with two people."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from wtforms import BooleanField, Field, HiddenField, SelectField

from app.forms import FlaskForm
from shared.errors import Conflict


class EditForm(FlaskForm):
    """A form that saves only what was changed in it.

    It carries a digest of each value that it was opened with. `merge` compares them with the record as it is now, so
    that the form never puts back a value that was changed elsewhere in the meantime. A form that is sent without the
    digests, as by programs, saves all of its values.
    """

    shown = HiddenField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.shown.raw_data is None:  # opened, not sent
            self._show({field.name: field.data for field in self if _is_value(field)})

    def merge(self, current: Mapping[str, object]) -> None:
        """Take over the record's values for fields that were not changed in this form.

        Call it in the transaction that saves the form.

        Args:
            current: The record's values now, as the form was opened with them, by the short names of the fields.

        Raises:
            Conflict: A field was changed here and elsewhere. Beside it, the form then shows the record's value. Sending
                it again saves the form's.
        """
        digests = dict(part.split(":", 1) for part in (self.shown.data or "").split() if ":" in part)
        conflicts: list[tuple[Field, object]] = []
        for field in self:
            if not _is_value(field) or field.short_name not in current or field.short_name not in digests:
                continue
            opened_with, value = digests[field.short_name], current[field.short_name]
            if _digest(field.data) == opened_with:
                field.data, field.raw_data = value, None
            elif _digest(value) not in (opened_with, _digest(field.data)):
                conflicts.append((field, value))
        if not conflicts:
            return
        self._show(current)
        for field, value in conflicts:
            field.errors = [*field.errors, f"It was changed to {_in_words(field, value)} in the meantime."]
        raise Conflict(
            "somebody has changed the same thing since you opened this form, perhaps you in another tab: "
            "send it again to save your version"
        )

    def _show(self, values: Mapping[str, object]) -> None:
        names = {field.name: field.short_name for field in self}
        self.shown.data = " ".join(f"{names.get(name, name)}:{_digest(value)}" for name, value in values.items())
        self.shown.raw_data = None


def _is_value(field: Field) -> bool:
    return field.type not in ("CSRFTokenField", "SubmitField") and field.short_name != "shown"


def _digest(value: object) -> str:
    """Return a digest of a field's value. Browsers send line ends as CR LF, and an empty text for none."""
    text = "" if value is None else str(value)
    return hashlib.sha256("\n".join(text.strip().splitlines()).encode()).hexdigest()[:12]


def _in_words(field: Field, value: object) -> str:
    if isinstance(field, BooleanField):
        return "ticked" if value else "not ticked"
    if isinstance(field, SelectField):
        labels = {choice.value: choice.label for choice in field.choices or ()}
        return f"“{labels.get(value, value)}”"
    return "nothing" if value in (None, "") else f"“{value}”"
