"""Pages that are no record's own: home, the rules of conduct, where the documentation starts."""

from flask import Flask

from app.pages import routes


def init_app(app: Flask) -> None:
    """Add the pages."""
    app.register_blueprint(routes.bp)
