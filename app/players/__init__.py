"""The public profiles of users."""

from flask import Flask

from app.players import routes


def init_app(app: Flask) -> None:
    """Add the pages."""
    app.register_blueprint(routes.bp)
