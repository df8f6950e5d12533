"""The home page, the rules of conduct, and files for search engines."""

from flask import Flask

from app.pages import routes, sitemap


def init_app(app: Flask) -> None:
    """Add the pages."""
    app.register_blueprint(routes.bp)
    app.register_blueprint(sitemap.bp)
