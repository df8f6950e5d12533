"""The protocol as a page and as an AsyncAPI document."""

from __future__ import annotations

from functools import cache

import yaml
from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue

from app.docs import protocol_page
from app.docs.files import public_file
from app.templating import fixed_page
from shared.limits import APPLICATION_FACTOR
from shared.protocol.asyncapi import document
from shared.protocol.catalogue import frame_kinds
from shared.protocol.codes import CLOSE_CODES
from shared.protocol.core import PROTOCOL_VERSION
from shared.settings import Settings

bp = Blueprint("docs", __name__, url_prefix="/docs")


@bp.get("")
def index() -> ResponseReturnValue:
    """Show how to connect a game, and every event of the protocol."""
    return fixed_page("docs/index.html", _index_context)


@bp.get("/asyncapi.yaml")
def asyncapi() -> ResponseReturnValue:
    """Return the protocol as an AsyncAPI document."""
    settings: Settings = current_app.extensions["settings"]
    return public_file(yaml_document(settings.socket_url), "application/yaml")


def _index_context() -> dict[str, object]:
    settings: Settings = current_app.extensions["settings"]
    return {
        "version": PROTOCOL_VERSION,
        "settings": settings,
        "groups": protocol_page.groups(),
        "examples": {kind.name: kind.example for kind in frame_kinds()},
        "failures": protocol_page.failures(),
        "close_codes": CLOSE_CODES,
        "limits": protocol_page.limits(settings.limits),
        "application_factor": APPLICATION_FACTOR,
    }


@cache
def yaml_document(socket_url: str) -> str:
    """Return the document as YAML, with its keys in their original order."""
    text: str = yaml.dump(
        document(socket_url, PROTOCOL_VERSION), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Repeats values instead of using YAML aliases, which are hard to read."""

    def ignore_aliases(self, data: object) -> bool:
        return True
