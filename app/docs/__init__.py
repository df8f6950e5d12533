"""The documentation: how to connect a game, and the socket protocol, for people and for programs."""

from flask import Flask

from app.docs import libraries, reading, routes


def init_app(app: Flask) -> None:
    """Add the pages, and what their template shows text with."""
    app.template_filter("said")(reading.said)
    app.template_filter("frame")(reading.frame)
    app.register_blueprint(routes.bp)
    app.register_blueprint(libraries.bp)
