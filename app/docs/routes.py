"""The page of the protocol, and its description as AsyncAPI."""

from __future__ import annotations

from functools import cache

import yaml
from flask import Blueprint, current_app, render_template
from flask.typing import ResponseReturnValue

from app.docs import reading
from app.docs.files import public_file
from shared.limits import APPLICATION_FACTOR
from shared.protocol.asyncapi import document
from shared.protocol.catalogue import frame_kinds
from shared.protocol.codes import CLOSE_CODES
from shared.protocol.core import PROTOCOL_VERSION
from shared.settings import Settings

bp = Blueprint("docs", __name__, url_prefix="/docs")


@bp.get("")
def index() -> ResponseReturnValue:
    """How a game gets onto the network, and every event of the protocol."""
    settings: Settings = current_app.extensions["settings"]
    return render_template(
        "docs/index.html",
        version=PROTOCOL_VERSION,
        settings=settings,
        groups=reading.groups(),
        examples={kind.name: kind.example for kind in frame_kinds()},
        failures=reading.failures(),
        close_codes=CLOSE_CODES,
        limits=reading.limits(settings.limits),
        application_factor=APPLICATION_FACTOR,
    )


@bp.get("/asyncapi.yaml")
def asyncapi() -> ResponseReturnValue:
    """The protocol for programs."""
    settings: Settings = current_app.extensions["settings"]
    return public_file(as_yaml(settings.socket_url), "application/yaml")


@cache
def as_yaml(socket_url: str) -> str:
    """The document as YAML, in the order it was made."""
    made = document(socket_url, PROTOCOL_VERSION)
    return yaml.dump(made, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Writes a value that occurs twice twice: nobody wants to look up aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True
