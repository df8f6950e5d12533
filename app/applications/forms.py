"""The form that asks for an application."""

from __future__ import annotations

from wtforms import TextAreaField

from app.forms import FlaskForm, name_field, required, short_name_field, strip


class RequestForm(FlaskForm):
    """Ask for an application."""

    name = name_field()
    short_name = short_name_field()
    purpose = TextAreaField(
        "What is it for, and who runs it?", [required("Say what the application is for.")], filters=[strip]
    )
