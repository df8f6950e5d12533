"""Moderation as those see it who are no moderators: report, be told of sanctions, appeal, ignore, mute for a game."""

from flask import Flask

from app.safety import bans, ignores, mutes, reports, sanctions, transparency


def init_app(app: Flask) -> None:
    """Add the pages, and what a ban closes on the site."""
    for module in (reports, sanctions, ignores, mutes, transparency):
        app.register_blueprint(module.bp)
    bans.init_app(app)
