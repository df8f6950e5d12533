"""Forms of the moderators' pages. Where a form has several fields, rules of the services report all errors at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from wtforms import (
    BooleanField,
    DateTimeLocalField,
    Form,
    RadioField,
    SelectChoice,
    SelectField,
    StringField,
    SubmitField,
    TextAreaField,
)
from wtforms.validators import InputRequired, Optional, StopValidation, ValidationError

from app.edit_form import EditForm
from app.forms import FlaskForm, follows, required, strip
from app.moderation.words import duration
from shared.conduct import RULES
from shared.models.moderation import FILTER_ACTIONS, FILTER_KINDS, Filter
from shared.services.moderation import presets, safeguards, sanctions

_STAMPS = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"]


class IntegerTextField(StringField):  # type: ignore[misc]  # WTForms has no types
    """A text field for a whole number; None if it is empty. Shows invalid input again."""

    def process_formdata(self, valuelist: list[Any]) -> None:
        text = str(valuelist[0]).strip() if valuelist else ""
        self.data = None
        if text:
            if not (text.isascii() and text.isdecimal() and len(text) <= 9):
                raise ValueError("Enter a whole number.")
            self.data = int(text)

    def pre_validate(self, form: Form) -> None:
        if self.process_errors:  # one error is enough
            raise StopValidation

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return "" if self.data is None else str(self.data)


def choice_field(label: str, choices: list[SelectChoice], message: str) -> SelectField:
    """Return a required choice. The service rejects other values; WTForms' own message would be technical."""
    return SelectField(label, [required(message)], choices=choices, validate_choice=False)


def reason_field() -> StringField:
    """Return the field for a required reason. Reasons are public and stay in the audit trail."""
    return StringField("Reason", [required("Enter a reason."), follows(sanctions.reason_of)], filters=[strip])


def optional_reason_field() -> StringField:
    """Return the field for an optional reason."""
    return StringField("Reason", filters=[strip])


class ReasonForm(FlaskForm):
    """An act that needs only a reason."""

    reason = reason_field()


class SearchForm(FlaskForm):
    """A search of the history, sent by GET."""

    class Meta:
        csrf = False

    text = StringField("Words", filters=[strip])
    player = StringField("Player", filters=[strip])
    game = StringField("Game", filters=[strip])
    channel = StringField("Channel", filters=[strip])
    since = DateTimeLocalField("Since (UTC)", [Optional()], format=_STAMPS)
    until = DateTimeLocalField("Until (UTC)", [Optional()], format=_STAMPS)

    def criteria(self) -> dict[str, Any]:
        """Return the service's arguments, with times in UTC. Skips fields with errors."""
        return {field.name: _utc(field.data) for field in self if not field.errors and field.data is not None}


def _utc(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


class SanctionForm(FlaskForm):
    """A warning, a mute or a ban."""

    target_kind = choice_field(
        "Against",
        [
            SelectChoice("player", "A player (name@game)"),
            SelectChoice("game", "A game (its short name)"),
            SelectChoice("user", "A site user (username)"),
            SelectChoice("address", "An address or network"),
        ],
        "Choose who it is against.",
    )
    target = StringField("Who", [required("Enter who it is against.")], filters=[strip])
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
            *(SelectChoice(str(seconds), duration(seconds).capitalize()) for seconds in sanctions.DURATIONS),
            SelectChoice("", "Permanently"),
        ],
        validate_choice=False,
    )
    reason = reason_field()

    def validate_seconds(self, field: SelectField) -> None:
        """Accept only the durations in the list."""
        if field.data and field.data not in {str(seconds) for seconds in sanctions.DURATIONS}:
            raise ValidationError("Choose one of the listed durations.")


class ResolveForm(FlaskForm):
    """Resolve a report."""

    state = RadioField(
        "Decision",
        [required("Choose a decision.")],
        choices=[
            SelectChoice("mute", "Uphold, and mute the player for an hour"),
            SelectChoice("warn", "Uphold, and warn the player"),
            SelectChoice("upheld", "Uphold: it broke the rules"),
            SelectChoice("dismissed", "Dismiss: it did not"),
        ],
        validate_choice=False,
    )
    outcome = StringField(
        "Outcome (the reporters will read this)", [required("Enter the outcome for the reporters.")], filters=[strip]
    )


class NoteForm(FlaskForm):
    """Write an internal note."""

    text = TextAreaField("Note", [required("Write a note.")], filters=[strip])


class DecideForm(FlaskForm):
    """Decide an appeal."""

    decision = RadioField(
        "Decision",
        [required("Choose whether to grant or refuse the appeal.")],
        choices=[
            SelectChoice("granted", "Grant: the sanction is undone"),
            SelectChoice("refused", "Refuse: the sanction stands"),
        ],
    )
    outcome = StringField(
        "Reason (the person who appealed will read this)",
        [required("Enter the reason for the decision.")],
        filters=[strip],
    )


class PauseForm(FlaskForm):
    """Pause a channel."""

    minutes = IntegerTextField("Minutes")
    reason = reason_field()


class RaidForm(FlaskForm):
    """Switch raid protection on."""

    hours = IntegerTextField("Hours", [InputRequired("Enter the number of hours."), follows(safeguards.raid_hours)])
    reason = reason_field()


class ProbationForm(EditForm):
    """How new accounts and games are limited."""

    hours = IntegerTextField(
        "Hours",
        [InputRequired("Enter the number of hours; 0 turns probation off."), follows(safeguards.probation_hours)],
    )
    slow_seconds = IntegerTextField(
        "Seconds between two lines from a new player",
        [InputRequired("Enter the number of seconds; 0 for no limit."), follows(safeguards.probation_slow_seconds)],
    )
    refuses_links = BooleanField("Refuse lines with links")


class SlowForm(EditForm):
    """Limit each player to one line per interval."""

    seconds = IntegerTextField(
        "Seconds between two lines from the same player",
        [InputRequired("Enter the number of seconds; 0 ends slow mode.")],
    )
    reason = optional_reason_field()


class DescribeForm(EditForm):
    """Describe a channel."""

    description = TextAreaField("Description", filters=[strip])


class RenameForm(EditForm):
    """Rename a channel."""

    name = StringField("New name", [required("Give the channel a name.")], filters=[strip])


class PresetForm(EditForm):
    """A preset reason."""

    rule = choice_field(
        "Rule of conduct", [SelectChoice(key, title) for key, title in RULES.items()], "Choose a rule of conduct."
    )
    text = StringField("Reason", [required("Enter a reason."), follows(presets.text_of)], filters=[strip])


class FilterForm(EditForm):
    """What a filter matches, and what it does with matching lines."""

    kind = choice_field(
        "Kind",
        [
            SelectChoice(kind, label)
            for kind, label in zip(
                FILTER_KINDS,
                (
                    "A word or phrase",
                    "A pattern (regular expression, RE2)",
                    "Too many links in a line",
                    "Flood: too many lines in a short time",
                    "Repeats: the same line too often in a short time",
                ),
                strict=True,
            )
        ],
        "Choose a kind.",
    )
    text = StringField("Word or pattern", filters=[strip])
    count = IntegerTextField("How many")
    seconds = IntegerTextField("In how many seconds")
    action = choice_field(
        "What happens",
        [
            SelectChoice(action, label)
            for action, label in zip(
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

    @staticmethod
    def values_of(stored: Filter) -> dict[str, object]:
        """Return the values of a form that starts with this filter."""
        return {
            "kind": stored.kind,
            "action": stored.action,
            "text": stored.text,
            "count": stored.count if stored.kind not in ("word", "pattern") else None,
            "seconds": stored.seconds or None,
            "note": stored.note,
        }

    def values(self) -> dict[str, Any]:
        """Return the service's arguments, except the note."""
        return {
            "kind": self.kind.data or "",
            "action": self.action.data or "",
            "text": self.text.data or "",
            "count": self.count.data,
            "seconds": self.seconds.data,
        }
