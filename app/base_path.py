"""The path of PUBLIC_URL, for a site that is one of several on a host: `https://example.com/gossip`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class BasePath:
    """Makes every address that the site writes begin with the path.

    The proxy may pass the path on or remove it, and requests from inside, such as health checks, need none.
    """

    def __init__(self, application: WSGIApplication, path: str) -> None:
        self._application = application
        self._path = path

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        requested = environ.get("PATH_INFO", "")
        if requested == self._path or requested.startswith(f"{self._path}/"):
            environ["PATH_INFO"] = requested.removeprefix(self._path) or "/"
        environ["SCRIPT_NAME"] = self._path
        return self._application(environ, start_response)
