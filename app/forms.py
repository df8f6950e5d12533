"""What the forms of all subjects share. Forms look at what must be there; the rules for values are the services'."""

from __future__ import annotations

from collections.abc import Callable

from flask_wtf import FlaskForm as FlaskForm  # the base of every form
from markupsafe import Markup
from wtforms import BooleanField, Field, Form, StringField
from wtforms.validators import DataRequired, ValidationError

from shared.errors import Invalid
from shared.services import validation

UNCHECKED = (False, "false", "", "0", "off", "no", "n")


def strip(value: str | None) -> str | None:
    """White space around a short text is never meant."""
    return value.strip() if isinstance(value, str) else value


def required(message: str) -> DataRequired:
    """Must be filled in; the message says with what."""
    return DataRequired(message)


def sentence(message: str) -> str:
    """A domain error's sentence as a page shows it: a capital letter first, a full stop last."""
    message = message[:1].upper() + message[1:]
    return message if message.endswith((".", "!", "?")) else message + "."


def follows(rule: Callable[[object], object]) -> Callable[[Form, Field], None]:
    """A validator that asks one of the domain's own rules, so that a form shows all of its faults at once."""

    def check(_form: Form, field: Field) -> None:
        try:
            rule(field.data)
        except Invalid as error:
            raise ValidationError(sentence(error.message)) from None

    return check


def checkbox(label: str, *, default: bool = False) -> BooleanField:
    """A box that is ticked or not; as browsers do it, a missing field is an empty box."""
    return BooleanField(label, default=default, false_values=UNCHECKED)


class KeptBox(BooleanField):
    """A box whose field says `n` when it is empty. A form sent without the field at all leaves the value as it was:
    programs that send forms need not know of it."""

    false_values = UNCHECKED

    def __call__(self, **attributes: object) -> Markup:
        """The box, and after it what is sent when it is empty."""
        unticked = Markup('<input type="hidden" name="{}" value="n">').format(self.name)
        return Markup("{}{}").format(super().__call__(**attributes), unticked)

    def process_formdata(self, valuelist: list[str]) -> None:
        """The first value counts: the box comes before what is sent without it."""
        if valuelist:
            super().process_formdata(valuelist)


def name_field(*validators: Callable[[Form, Field], None]) -> StringField:
    """What people call it."""
    return StringField("Name", [required("Give it a name."), *validators], filters=[strip])


def short_name_field() -> StringField:
    """What whoever connects to the socket is called there. Fields are in the order in which they are made."""
    return StringField(
        "Short name", [required("Choose a short name."), follows(validation.short_name)], filters=[strip]
    )
