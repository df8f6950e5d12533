"""Accounts: registering, signing in and out, links in mails, and account settings."""

from flask import Flask

from app.accounts import identity, recovery, routes, settings
from shared.mail import Mailer
from shared.settings import Settings


def init_app(app: Flask) -> None:
    """Add the login manager, the mailer and the pages."""
    options: Settings = app.extensions["settings"]
    app.extensions["mailer"] = Mailer(
        server_url=options.mail_url, sender=options.mail_from, instance_path=options.instance_path
    )
    identity.init_app(app)
    app.register_blueprint(routes.bp)
    app.register_blueprint(recovery.bp)
    app.register_blueprint(settings.bp)
