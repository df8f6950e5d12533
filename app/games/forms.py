"""Forms for games and their ways to connect."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from wtforms import SelectChoice, SelectField, StringField, TextAreaField, URLField

from app.edit_form import EditForm
from app.forms import FlaskForm, OptionalCheckbox, checkbox, follows, name_field, required, short_name_field, strip
from shared.models.game import CONNECTION_TYPES, GameConnection
from shared.models.game_details import WIRE_NAMES, GameDetails
from shared.services import games


class GameForm(EditForm):
    """Register or edit a game."""

    name = name_field(follows(games.clean_name))
    short_name = short_name_field()
    description = TextAreaField("Description", [follows(games.clean_description)], filters=[strip])
    homepage_url = URLField("Homepage", [follows(games.clean_homepage)], filters=[strip])
    display = checkbox("Show this game to everyone", default=True)
    allow_character_registration = checkbox("Let players claim their characters here", default=True)
    show_players = OptionalCheckbox("Show who is online on its page", default=True)

    @classmethod
    def of(cls, details: GameDetails) -> GameForm:
        """Return a form that starts with these details."""
        return cls(data=cls.values_of(details))

    @staticmethod
    def values_of(details: GameDetails) -> dict[str, object]:
        """Return the values of a form that starts with these details."""
        return {WIRE_NAMES.get(name, name): value for name, value in asdict(details).items()}

    def details(self) -> GameDetails:
        """Return what was filled in."""
        return GameDetails(
            **{field.name: self[WIRE_NAMES.get(field.name, field.name)].data for field in fields(GameDetails)}
        )


class NewGameForm(GameForm):
    """Register a game, with a way to connect if it has one already."""

    type = SelectField(
        "How do players connect?",
        default="",
        choices=[SelectChoice("", "Not yet"), *(SelectChoice(kind, kind.capitalize()) for kind in CONNECTION_TYPES)],
    )
    url = URLField("Address of the page", filters=[strip])
    host = StringField("Host", filters=[strip])
    port = StringField("Port", filters=[strip])

    def way_to_connect(self) -> dict[str, Any] | None:
        """Return the fields of the way to connect. None if nothing was filled in."""
        values = {name: self[name].data or "" for name in ("type", "url", "host", "port")}
        return values if any(values.values()) else None


class ConnectionForm(EditForm):
    """A way to connect: a web page, or a host and a port."""

    type = SelectField(
        "Kind",
        [required("Choose a kind.")],
        choices=[SelectChoice(kind, kind.capitalize()) for kind in CONNECTION_TYPES],
    )
    url = URLField("Address of the page", filters=[strip])
    host = StringField("Host", filters=[strip])
    port = StringField("Port", filters=[strip])

    def way(self) -> dict[str, Any]:
        """Return the way to connect as the services take it."""
        return {name: self[name].data or "" for name in ("type", "url", "host", "port")}

    @staticmethod
    def values_of(way: GameConnection) -> dict[str, object]:
        """Return the values of a form that starts with this way to connect."""
        return {
            "type": way.type,
            "url": way.url,
            "host": way.host,
            "port": None if way.port is None else str(way.port),
        }


class TransferForm(FlaskForm):
    """Offer a game to another user."""

    username = StringField("Username", [required("Enter the new owner's username.")], filters=[strip])
