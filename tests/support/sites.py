"""Sites in this process. Creating one takes longer than most tests do, so tests share them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from flask.testing import FlaskClient

from app import create_app
from shared import bus, db

if TYPE_CHECKING:
    from flask import Flask
    from jinja2 import FileSystemBytecodeCache
    from werkzeug.test import TestResponse

    from shared.settings import Settings

KEPT_SITES = 4


class BufferedClient(FlaskClient):
    """Reads each response to its end, so that no file of the site stays open."""

    def open(self, *arguments: Any, buffered: bool = True, **options: Any) -> TestResponse:
        return super().open(*arguments, buffered=buffered, **options)


class _Kept(NamedTuple):
    settings: Settings
    site: Flask
    config: dict[str, Any]
    extensions: dict[str, Any]


class Sites:
    """Keeps the latest sites. A test gets the site with its settings, in its original state."""

    def __init__(self, compiled_templates: FileSystemBytecodeCache) -> None:
        self._compiled_templates = compiled_templates
        self._kept: list[_Kept] = []

    def get(self, settings: Settings) -> Flask:
        """Return a site with these settings, and bind the database and the bus to it."""
        kept = next((kept for kept in self._kept if kept.settings == settings), None)
        if kept is None:
            site = create_app(settings)
            site.test_client_class = BufferedClient
            site.jinja_env.bytecode_cache = self._compiled_templates
            kept = _Kept(settings, site, dict(site.config), dict(site.extensions))
            self._kept = [*self._kept[1 - KEPT_SITES :], kept]
        site = kept.site
        site.config.clear()
        site.config.update(kept.config)
        site.extensions.clear()
        site.extensions.update(kept.extensions)
        site.testing = True
        bus.publish_after_commit(site.extensions["bus"])
        with site.app_context():
            db.bind(db.db.engine)
        return site
