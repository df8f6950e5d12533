"""A live replica of the Gossip network's channels and games, in the host application's own database."""

from backbone.changes import Change
from backbone.columns import Json, LongText
from backbone.errors import BackboneError, DatabaseFailed, HookFailed, WrongNetwork
from backbone.kinds import CHANNELS, DEFAULT_KINDS, GAMES, Kind
from backbone.migrations import migrate
from backbone.models import Channel, Game, Record, State
from backbone.replica import Backbone

__version__ = "0.1.0"

__all__ = [
    "CHANNELS",
    "DEFAULT_KINDS",
    "GAMES",
    "Backbone",
    "BackboneError",
    "Change",
    "Channel",
    "DatabaseFailed",
    "Game",
    "HookFailed",
    "Json",
    "Kind",
    "LongText",
    "Record",
    "State",
    "WrongNetwork",
    "__version__",
    "migrate",
]
