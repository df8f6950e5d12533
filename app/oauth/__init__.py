"""Signing in to games and applications with an account of the network: OAuth 2 and OpenID Connect, on Authlib."""

from flask import Flask

from app.oauth import api, authorize, connected, discovery, form_policy, logout, server


def init_app(app: Flask) -> None:
    """Add the endpoints for programs and the pages for people."""
    server.init_app(app)
    app.extensions["csrf"].exempt(api.bp)
    for module in (api, discovery, authorize, logout, connected):
        app.register_blueprint(module.bp)
    app.after_request(form_policy.allow_returning)
