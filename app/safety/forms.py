"""Forms of those who are no moderators."""

from __future__ import annotations

from wtforms import StringField, TextAreaField

from app.forms import FlaskForm, checkbox, required, strip


class ReportForm(FlaskForm):
    """What is wrong with a message or a player."""

    target = StringField("Player", [required("Say who, as name@game.")], filters=[strip])
    text = TextAreaField("What is wrong", [required("Say what is wrong.")], filters=[strip])


class AppealForm(FlaskForm):
    """Why a sanction should end."""

    text = TextAreaField("Your appeal", [required("Say why the sanction should end.")], filters=[strip])


class PatternForm(FlaskForm):
    """Players, as a pattern of `name@game`."""

    pattern = StringField("Whom", [required("Say whom: Bob@Game, *@Game, spam*@*.")], filters=[strip])


class IgnoreForm(PatternForm):
    """A pattern, or the person behind a name."""

    is_person = checkbox("With all their registered characters")
