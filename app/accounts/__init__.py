"""Accounts: registering, signing in and out, the links of mails, and what people change about their own."""

from flask import Flask

from app.accounts import identity, recovery, routes, settings
from shared.mail import Mailer
from shared.settings import Settings


def init_app(app: Flask) -> None:
    """Add who is signed in, the mails, and the pages."""
    options: Settings = app.extensions["settings"]
    app.extensions["mailer"] = Mailer(
        server_url=options.mail_url, sender=options.mail_from, instance_path=options.instance_path
    )
    identity.init_app(app)
    app.register_blueprint(routes.bp)
    app.register_blueprint(recovery.bp)
    app.register_blueprint(settings.bp)
