"""Channels: the public list, and channels that owners of games propose."""

from flask import Flask

from app.channels import routes


def init_app(app: Flask) -> None:
    """Add the pages."""
    app.register_blueprint(routes.bp)
