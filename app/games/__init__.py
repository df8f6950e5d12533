"""Games: their public pages, and the pages for their owners."""

from flask import Flask

from app.games import connections, feed, manage, play, routes, transfers
from app.games.owner import works_now


def init_app(app: Flask) -> None:
    """Add the pages."""
    app.add_template_global(works_now, "check_result")
    app.register_blueprint(routes.bp)
    app.register_blueprint(feed.bp)
    app.register_blueprint(manage.bp)
    app.register_blueprint(connections.bp)
    app.register_blueprint(transfers.bp)
    app.register_blueprint(play.bp)
