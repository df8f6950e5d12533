"""Pages for admins: channels, applications, users, the network."""

from flask import Flask

from app.admin import application_requests, applications, channels, network, users


def init_app(app: Flask) -> None:
    """Add the pages."""
    for module in (network, channels, applications, application_requests, users):
        app.register_blueprint(module.bp)
