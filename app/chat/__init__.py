"""Chat in the browser: channels and their history. A script connects to a worker's socket for live lines."""

from flask import Flask

from app.chat import routes, text
from shared.settings import Settings


def init_app(app: Flask) -> None:
    """Add the pages."""
    settings: Settings = app.extensions["settings"]
    app.add_template_global(text.line_html, "line_html")
    app.register_blueprint(routes.make_blueprint(settings))
