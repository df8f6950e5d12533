"""Pages that are no record's own: home and the rules of conduct."""

from flask import Flask

from app.pages import routes


def init_app(app: Flask) -> None:
    """Add the pages."""
    app.register_blueprint(routes.bp)
