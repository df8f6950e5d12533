"""Moderation for everybody: reports, the user's own sanctions, appeals, ignores, and mutes for a game."""

from flask import Flask

from app.safety import bans, ignores, mutes, reports, sanctions, transparency


def init_app(app: Flask) -> None:
    """Add the pages, and the check that refuses banned users."""
    for module in (reports, sanctions, ignores, mutes, transparency):
        app.register_blueprint(module.bp)
    bans.init_app(app)
