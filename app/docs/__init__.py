"""The documentation: how to connect a game, and the socket protocol for people and for programs."""

from flask import Flask

from app.docs import libraries, protocol_page, routes


def init_app(app: Flask) -> None:
    """Add the pages and their template filters."""
    app.template_filter("with_code")(protocol_page.with_code)
    app.template_filter("frame")(protocol_page.frame)
    app.add_template_global(routes.event_url, "event_url")
    app.register_blueprint(routes.bp)
    app.register_blueprint(libraries.bp)
