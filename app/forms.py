"""Shared parts of forms. Forms check that required fields are filled in; the rules for values live in the services."""

from __future__ import annotations

from collections.abc import Callable

from flask_wtf import FlaskForm as UntypedForm
from markupsafe import Markup
from wtforms import BooleanField, Field, Form, StringField
from wtforms.validators import DataRequired, ValidationError

from shared import validation
from shared.errors import Invalid

UNCHECKED = (False, "false", "", "0", "off", "no", "n")


class FlaskForm(UntypedForm):  # type: ignore[misc]
    """The base of all forms. Flask-WTF has no types, so every other form inherits from this class."""


def strip(value: str | None) -> str | None:
    """Remove white space around a short text."""
    return value.strip() if isinstance(value, str) else value


def required(message: str) -> DataRequired:
    """Return a validator that shows this message if the field is empty."""
    return DataRequired(message)


def sentence(message: str) -> str:
    """Return a domain error's message with a capital letter at the start and a full stop at the end."""
    message = message[:1].upper() + message[1:]
    return message if message.endswith((".", "!", "?")) else message + "."


def follows(rule: Callable[[object], object]) -> Callable[[Form, Field], None]:
    """Return a validator that applies a rule of the domain, so that a form shows all of its errors at once."""

    def check(_form: Form, field: Field) -> None:
        try:
            rule(field.data)
        except Invalid as error:
            raise ValidationError(sentence(error.message)) from None

    return check


def checkbox(label: str, *, default: bool = False) -> BooleanField:
    """Return a checkbox. A missing field means unticked, since browsers send nothing for an unticked box."""
    return BooleanField(label, default=default, false_values=UNCHECKED)


class OptionalCheckbox(BooleanField):  # type: ignore[misc]  # WTForms has no types
    """A checkbox that sends `n` when it is unticked.

    A form sent without the field keeps the current value, so programs written before the field existed still work.
    """

    false_values = UNCHECKED

    def __call__(self, **attributes: object) -> Markup:
        """Render the box, followed by a hidden field with the value for an unticked box."""
        unticked = Markup('<input type="hidden" name="{}" value="n">').format(self.name)
        return Markup("{}{}").format(super().__call__(**attributes), unticked)

    def process_formdata(self, valuelist: list[str]) -> None:
        """Use the first value: the box comes before the hidden field."""
        if valuelist:
            super().process_formdata(valuelist)


def name_field(*validators: Callable[[Form, Field], None]) -> StringField:
    """Return the field for a display name."""
    return StringField("Name", [required("Give it a name."), *validators], filters=[strip])


def short_name_field() -> StringField:
    """Return the field for a short name, the name of a peer on the socket."""
    return StringField(
        "Short name", [required("Choose a short name."), follows(validation.short_name)], filters=[strip]
    )
