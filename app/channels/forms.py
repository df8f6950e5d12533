"""Forms of channels."""

from __future__ import annotations

from wtforms import StringField, TextAreaField

from app.edit_form import EditForm
from app.forms import follows, required, strip
from shared import validation


class DescribeForm(EditForm):
    """Describe a channel."""

    description = TextAreaField("Description", filters=[strip])


class ProposeForm(DescribeForm):
    """Propose a channel."""

    name = StringField(
        "Name", [required("Give the channel a name."), follows(validation.channel_name)], filters=[strip]
    )
