"""The Flask site: what people do in a browser. Rules live in `shared.services`; here requests become calls to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from shared.settings import Settings


def create_app(settings: Settings) -> Flask:
    """Create the site. Opens no connections: `/_health` shows whether the database and Redis can be reached."""
    from app import site  # the whole site: commands import this package and need little of it

    return site.create_app(settings)
