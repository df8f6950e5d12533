"""Forms of games, and of the ways to connect to them."""

from __future__ import annotations

from wtforms import SelectChoice, SelectField, StringField, TextAreaField, URLField

from app.forms import FlaskForm, KeptBox, checkbox, follows, name_field, required, short_name_field, strip
from shared.models.game import CONNECTION_TYPES
from shared.services import games


class GameForm(FlaskForm):
    """A game, new or known."""

    name = name_field(follows(games.name_of))
    short_name = short_name_field()
    description = TextAreaField("Description", [follows(games.description_of)], filters=[strip])
    homepage_url = URLField("Homepage", [follows(games.homepage_of)], filters=[strip])
    display = checkbox("Show this game to everyone", default=True)
    allow_character_registration = checkbox("Let players claim their characters here", default=True)
    show_players = KeptBox("Show who is online on its page", default=True)


class ConnectionForm(FlaskForm):
    """A way to connect: a web page, or a host and a port."""

    type = SelectField(
        "Kind",
        [required("Choose a kind.")],
        choices=[SelectChoice(kind, kind.capitalize()) for kind in CONNECTION_TYPES],
    )
    url = URLField("Address of the page", filters=[strip])
    host = StringField("Host", filters=[strip])
    port = StringField("Port", filters=[strip])


class TransferForm(FlaskForm):
    """Who gets a game."""

    username = StringField("Username", [required("Say who gets the game.")], filters=[strip])
