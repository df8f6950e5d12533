"""Forms of channels."""

from __future__ import annotations

from wtforms import StringField, TextAreaField

from app.forms import FlaskForm, follows, required, strip
from shared.services import validation


class DescribeForm(FlaskForm):
    """Describe a channel."""

    description = TextAreaField("Description", filters=[strip])


class ProposeForm(DescribeForm):
    """Propose a channel."""

    name = StringField(
        "Name", [required("Give the channel a name."), follows(validation.channel_name)], filters=[strip]
    )
