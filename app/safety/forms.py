"""Forms for reports, appeals, ignores and mutes."""

from __future__ import annotations

from wtforms import StringField, TextAreaField

from app.forms import FlaskForm, checkbox, required, strip


class ReportForm(FlaskForm):
    """Report a message or a player."""

    target = StringField("Player", [required("Enter the player as name@game.")], filters=[strip])
    text = TextAreaField("What is wrong", [required("Describe what is wrong.")], filters=[strip])


class AppealForm(FlaskForm):
    """Appeal a sanction."""

    text = TextAreaField("Your appeal", [required("Explain why the sanction should end.")], filters=[strip])


class PatternForm(FlaskForm):
    """A pattern of players, such as `spam*@*`."""

    pattern = StringField("Who", [required("Enter a pattern such as Bob@Game, *@Game or spam*@*.")], filters=[strip])


class IgnoreForm(PatternForm):
    """Ignore a pattern, or all characters of a person."""

    is_person = checkbox("Include all of their registered characters")
