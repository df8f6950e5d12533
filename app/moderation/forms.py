"""Forms of the moderators' pages. Limits of values are the services'; forms say what must be there at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from wtforms import DateTimeLocalField, RadioField, SelectChoice, SelectField, StringField, SubmitField, TextAreaField
from wtforms.validators import InputRequired, Optional, ValidationError

from app.forms import FlaskForm, required, strip
from app.moderation.words import length
from shared.models.moderation import FILTER_ACTIONS, FILTER_KINDS
from shared.services.moderation import sanctions

_STAMPS = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"]


class WholeField(StringField):
    """A whole number, typed; None if it was left empty. What was typed stays when it is none."""

    def process_formdata(self, valuelist: list[Any]) -> None:
        text = str(valuelist[0]).strip() if valuelist else ""
        self.data = None
        if text:
            if not (text.isascii() and text.isdecimal() and len(text) <= 9):
                raise ValueError("Write a whole number.")
            self.data = int(text)

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return "" if self.data is None else str(self.data)


def one_of(label: str, choices: list[SelectChoice], message: str) -> SelectField:
    """A choice; what is not among it gets the message, not a programmer's words."""
    return SelectField(label, [required(message)], choices=choices, validate_choice=False)


def reason_field(label: str = "Reason") -> StringField:
    """Why; it is in the audit trail for good, and on the public page."""
    return StringField(label, [required("Say why.")], filters=[strip])


def optional_reason() -> StringField:
    """Why, where that often goes without saying."""
    return StringField("Reason", filters=[strip])


class ReasonForm(FlaskForm):
    """An act that needs nothing but its reason."""

    reason = reason_field()


class SearchForm(FlaskForm):
    """What to look for in the history. It changes nothing, and is sent by GET."""

    class Meta:
        csrf = False

    text = StringField("Words", filters=[strip])
    player = StringField("Player", filters=[strip])
    game = StringField("Game", filters=[strip])
    channel = StringField("Channel", filters=[strip])
    since = DateTimeLocalField("Since (UTC)", [Optional()], format=_STAMPS)
    until = DateTimeLocalField("Until (UTC)", [Optional()], format=_STAMPS)

    def criteria(self) -> dict[str, Any]:
        """What the service wants; times are UTC. A field at fault is left out."""
        return {field.name: _utc(field.data) for field in self if not field.errors and field.data is not None}


def _utc(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


class SanctionForm(FlaskForm):
    """A warning, a mute or a ban."""

    target_kind = one_of(
        "Against",
        [
            SelectChoice("player", "A player (name@game)"),
            SelectChoice("game", "A game (its short name)"),
            SelectChoice("user", "A site user (username)"),
            SelectChoice("address", "An address or network"),
        ],
        "Choose whom it is against.",
    )
    target = StringField("Who", [required("Say whom it is against.")], filters=[strip])
    kind = RadioField(
        "What",
        [required("Choose a warning, a mute or a ban.")],
        choices=[SelectChoice("warn", "Warning"), SelectChoice("mute", "Mute"), SelectChoice("ban", "Ban")],
        validate_choice=False,
    )
    channel = StringField("Channel", filters=[strip])
    seconds = SelectField(
        "For how long",
        choices=[
            *(SelectChoice(str(seconds), length(seconds).capitalize()) for seconds in sanctions.DURATIONS),
            SelectChoice("", "For good"),
        ],
        validate_choice=False,
    )
    reason = reason_field()

    def validate_seconds(self, field: SelectField) -> None:
        """Only what is offered; anything else came from no browser."""
        if field.data and field.data not in {str(seconds) for seconds in sanctions.DURATIONS}:
            raise ValidationError("Choose one of these.")


class ResolveForm(FlaskForm):
    """What came of a report."""

    state = RadioField(
        "Decision",
        [required("Choose upheld or dismissed.")],
        choices=[
            SelectChoice("upheld", "Upheld: it was against the rules"),
            SelectChoice("dismissed", "Dismissed: it was not"),
        ],
        validate_choice=False,
    )
    outcome = StringField(
        "Outcome, as its reporters read it", [required("Say what came of it: they read this.")], filters=[strip]
    )


class DecideForm(FlaskForm):
    """What becomes of an appeal."""

    decision = RadioField(
        "Decision",
        [required("Choose to grant or to refuse it.")],
        choices=[
            SelectChoice("granted", "Grant it: the sanction is undone"),
            SelectChoice("refused", "Refuse it: the sanction stands"),
        ],
    )
    outcome = StringField(
        "Why, as who appealed reads it", [required("Say why: who appealed reads this.")], filters=[strip]
    )


class PauseForm(FlaskForm):
    """Silence on a channel."""

    minutes = WholeField("Minutes")
    reason = reason_field()


class SlowForm(FlaskForm):
    """One line a player in so many seconds."""

    seconds = WholeField("Seconds between two lines of a player", [InputRequired("Say how many; 0 ends it.")])
    reason = optional_reason()


class DescribeForm(FlaskForm):
    """What a channel is for."""

    description = TextAreaField("Description", filters=[strip])


class RenameForm(FlaskForm):
    """Another name for a channel."""

    name = StringField("New name", [required("Give the channel a name.")], filters=[strip])


class FilterForm(FlaskForm):
    """What to look for in each line, and what to do with a line that has it."""

    kind = one_of(
        "Kind",
        [
            SelectChoice(kind, words)
            for kind, words in zip(
                FILTER_KINDS,
                (
                    "A word or phrase",
                    "A pattern (regular expression, RE2)",
                    "Too many links in a line",
                    "A flood: too many lines in a time",
                    "Repeats: the same line too often in a time",
                ),
                strict=True,
            )
        ],
        "Choose a kind.",
    )
    text = StringField("Word or pattern", filters=[strip])
    count = WholeField("How many")
    seconds = WholeField("In how many seconds")
    action = one_of(
        "What happens",
        [
            SelectChoice(action, words)
            for action, words in zip(
                FILTER_ACTIONS,
                ("Flag it for review", "Mask it with ***", "Refuse the line"),
                strict=True,
            )
        ],
        "Choose what happens.",
    )
    note = StringField("Note to other moderators", filters=[strip])
    save = SubmitField("Save")
    try_it = SubmitField("Try it on the last 1,000 messages")

    def values(self) -> dict[str, Any]:
        """What the service takes, the note aside."""
        return {
            "kind": self.kind.data or "",
            "action": self.action.data or "",
            "text": self.text.data or "",
            "count": self.count.data,
            "seconds": self.seconds.data,
        }
