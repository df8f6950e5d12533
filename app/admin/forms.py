"""Forms of the admin pages."""

from __future__ import annotations

from wtforms import HiddenField, SelectChoice, SelectField, StringField, TextAreaField
from wtforms.validators import AnyOf

from app.channels.forms import ProposeForm
from app.edit_form import EditForm
from app.forms import FlaskForm, checkbox, follows, name_field, short_name_field, strip
from shared.errors import Invalid
from shared.models.application import SCOPES, Application
from shared.models.channel import Channel
from shared.models.user import ROLES


class ChannelForm(ProposeForm):
    """Create or edit a channel."""

    is_hidden = checkbox("Hidden: not listed, and not open to browsers")

    @staticmethod
    def values_of(channel: Channel) -> dict[str, object]:
        """Return the values of a form that starts with this channel."""
        return {"name": channel.name, "description": channel.description, "is_hidden": channel.is_hidden}


class ScopesForm(EditForm):
    """The scopes of an application."""

    moderate = checkbox(
        "May moderate: pause channels, impose and lift sanctions, redact messages; is notified of moderation"
    )
    identity = checkbox("May let people sign in with their account, and learn who they are")

    @staticmethod
    def values_of(application: Application) -> dict[str, object]:
        """Return the values of a form that starts with this application's scopes."""
        return {scope: scope in application.scopes for scope in SCOPES}

    def scopes(self) -> list[str]:
        """Return the ticked scopes."""
        return [scope for scope in SCOPES if self[scope].data]


class ApplicationForm(ScopesForm):
    """A network application."""

    name = name_field()
    short_name = short_name_field()


class DecideForm(FlaskForm):
    """Decide a request for an application. Each decision is a button of its own."""

    decision = HiddenField(validators=[AnyOf(["approve", "decline"], "Approve or decline.")])
    answer = TextAreaField("Your answer", filters=[strip])


class RoleForm(FlaskForm):
    """The role of a user."""

    role = SelectField("Role", choices=[SelectChoice(role, role.capitalize()) for role in ROLES])


def downtime_seconds(text: object) -> int:
    """Return the typed number of seconds. The service checks its range.

    Raises:
        Invalid: The text is not a whole number.
    """
    digits = str(text or "")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 9):
        raise Invalid("the downtime must be a whole number of seconds")
    return int(digits)


class RestartForm(FlaskForm):
    """Announce a restart."""

    downtime = StringField("Downtime, in seconds", [follows(downtime_seconds)], filters=[strip])
