"""Characters: a user's registration key, and the characters claimed with it."""

from flask import Flask

from app.characters import routes


def init_app(app: Flask) -> None:
    """Add the pages."""
    app.register_blueprint(routes.bp)
