"""Channels: the public list, and what owners of games propose."""

from flask import Flask

from app.channels import routes


def init_app(app: Flask) -> None:
    """Add the pages."""
    app.register_blueprint(routes.bp)
