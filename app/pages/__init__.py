"""Pages that are no record's own: home, the rules of conduct, and what search engines read."""

from flask import Flask

from app.pages import routes, sitemap


def init_app(app: Flask) -> None:
    """Add the pages."""
    app.register_blueprint(routes.bp)
    app.register_blueprint(sitemap.bp)
