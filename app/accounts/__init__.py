"""Accounts: registering, signing in and out."""

from flask import Flask

from app.accounts import identity, routes


def init_app(app: Flask) -> None:
    """Add who is signed in, and the pages."""
    identity.init_app(app)
    app.register_blueprint(routes.bp)
