"""Requests for network applications: what authors see. Admins decide under app/admin/."""

from flask import Flask

from app.applications import routes


def init_app(app: Flask) -> None:
    """Add the pages."""
    app.register_blueprint(routes.bp)
