"""Chat in the browser: channels with their history; live by a script that connects to a worker's socket."""

from flask import Flask

from app.chat import routes, text
from shared.settings import Settings


def init_app(app: Flask) -> None:
    """Add the pages."""
    settings: Settings = app.extensions["settings"]
    app.template_filter("linked")(text.linked)
    app.register_blueprint(routes.make_blueprint(settings))
