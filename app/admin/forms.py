"""Forms of the admin pages."""

from __future__ import annotations

from wtforms import SelectChoice, SelectField, StringField

from app.channels.forms import ProposeForm
from app.forms import FlaskForm, checkbox, follows, name_field, short_name_field, strip
from shared.errors import Invalid
from shared.models.application import SCOPES
from shared.models.user import ROLES


class ChannelForm(ProposeForm):
    """A channel as admins see it."""

    is_hidden = checkbox("Hidden: in no list, and closed to browsers")


class ScopesForm(FlaskForm):
    """What an application may do beside what all may."""

    moderate = checkbox("May moderate: pause channels, sanction, lift, redact; is told of what moderators do")

    def scopes(self) -> list[str]:
        """The scopes that are ticked."""
        return [scope for scope in SCOPES if self[scope].data]


class ApplicationForm(ScopesForm):
    """A network application."""

    name = name_field()
    short_name = short_name_field()


class RoleForm(FlaskForm):
    """What a person may do."""

    role = SelectField("Role", choices=[SelectChoice(role, role.capitalize()) for role in ROLES])


def downtime_seconds(text: object) -> int:
    """The seconds that a form says. Raises Invalid for what is not a whole number; how many may be is the service's."""
    digits = str(text or "")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 9):
        raise Invalid("the downtime must be a whole number of seconds")
    return int(digits)


class RestartForm(FlaskForm):
    """Tell every socket that a drop is coming."""

    downtime = StringField("Downtime, in seconds", [follows(downtime_seconds)], filters=[strip])
