"""Protection of browser sessions: cookies, CSRF tokens, response headers and proxy headers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, Response, abort, current_app, request
from flask_wtf.csrf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

from app.base_path import BasePath
from shared.client_addresses import TrustedProxies
from shared.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SESSION_DAYS = 30
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def init_app(app: Flask, settings: Settings) -> None:
    """Configure cookies, CSRF and headers. Trust a proxy's headers only if PUBLIC_URL says that there is a proxy."""
    is_https = urlsplit(settings.public_url).scheme == "https"
    app.config.from_mapping(
        SESSION_COOKIE_NAME="gossip_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=is_https,
        PERMANENT_SESSION_LIFETIME=timedelta(days=SESSION_DAYS),
        # Set the cookie only when the session changes: a slow or cached response must not restore an old session.
        SESSION_REFRESH_EACH_REQUEST=False,
        # A token is valid as long as its session, so that a form left open overnight can still be sent.
        WTF_CSRF_TIME_LIMIT=None,
        # Forms that were opened before SECRET_KEY was replaced can still be sent.
        WTF_CSRF_SECRET_KEY=settings.signing_keys,
        # It would require a Referer, which many privacy settings leave out. See app/origins.py.
        WTF_CSRF_SSL_STRICT=False,
    )
    CSRFProtect(app)
    if settings.public_path:
        app.config["SESSION_COOKIE_PATH"] = settings.public_path
        app.wsgi_app = BasePath(app.wsgi_app, settings.public_path)  # type: ignore[method-assign]
    app.wsgi_app = ProxyHeaders(app.wsgi_app, settings.site_proxies)  # type: ignore[method-assign]
    # Pages keep the chat's socket open, and so does the shared worker, whose script has a policy of its own.
    app.extensions["content_security_policy"] = policy = content_policy(settings.chat_socket_url)

    @app.before_request
    def refuse_nul() -> None:
        # No record's name contains a NUL, and PostgreSQL rejects queries with one.
        if "\0" in request.path or any("\0" in value for value in request.args.values()):
            abort(404)

    defaults = {**HEADERS, "Content-Security-Policy": policy}
    if is_https:
        defaults["Strict-Transport-Security"] = "max-age=31536000"

    @app.after_request
    def add_headers(response: Response) -> Response:
        # Not with setdefault(), which raises and catches an exception for each: 80 µs for every page, instead of 20.
        present = {name.lower() for name, _ in response.headers}
        for name, value in defaults.items():
            if name.lower() not in present:
                response.headers.add(name, value)
        if request.endpoint != "static" and "cache-control" not in present:
            response.headers.add("Cache-Control", "private, no-cache")
        return response


def content_policy(*sockets: str) -> str:
    """Return the policy of pages that may connect to these addresses."""
    urls = [urlsplit(address) for address in sockets]
    allowed = dict.fromkeys(f"{url.scheme}://{url.netloc}" for url in urls)
    return CONTENT_SECURITY_POLICY.replace("connect-src 'self'", " ".join(["connect-src 'self'", *allowed]))


def allow_form_redirects(response: Response, origin: str) -> None:
    """Let the forms of a page lead to another site: browsers apply the policy to redirects after a form as well."""
    policy: str = current_app.extensions["content_security_policy"]
    response.headers["Content-Security-Policy"] = policy.replace("form-action 'self'", f"form-action 'self' {origin}")


class ProxyHeaders:
    """Reads the client's address, the scheme and the host from the headers of trusted proxies."""

    def __init__(self, application: WSGIApplication, proxies: TrustedProxies) -> None:
        self._application = application
        self._proxied = ProxyFix(application, x_for=0, x_proto=1, x_host=1)
        self._proxies = proxies

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request. Ignores the headers of other peers, who could forge them to evade limits per address."""
        peer = environ.get("REMOTE_ADDR", "")
        if not self._proxies.has(peer):
            return self._application(environ, start_response)
        environ["REMOTE_ADDR"] = self._proxies.client_address(
            peer, forwarded_for=environ.get("HTTP_X_FORWARDED_FOR", ""), forwarded=environ.get("HTTP_FORWARDED", "")
        )
        return self._proxied(environ, start_response)


def is_local_path(target: str) -> bool:
    """Return whether the target is a path on this site. False for anything a browser could take for another site."""
    return (
        target.startswith(f"{request.script_root}/")
        and not target.startswith(("//", "/\\"))
        and target.isprintable()
        and not urlsplit(target).netloc
    )
