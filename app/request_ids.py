"""Each request has an id: the proxy's if the proxy is trusted, otherwise a new one. Answers carry it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask

from shared.client_addresses import TrustedProxies
from shared.request_ids import HEADER, RequestWork, current_ids, new_id, read_id, start_work
from shared.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


TRACE_HEADERS = ("HTTP_TRACEPARENT", "HTTP_TRACESTATE")


class RequestIds:
    """Starts the work for each request. Wraps everything that may log."""

    def __init__(self, application: WSGIApplication, proxies: TrustedProxies) -> None:
        self._application = application
        self._proxies = proxies

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request. Ignores ids and traces of other peers, who could make requests look like others'."""
        is_trusted = self._proxies.has(environ.get("REMOTE_ADDR", ""))
        if not is_trusted:
            for name in TRACE_HEADERS:
                environ.pop(name, None)
        request_id = (read_id(environ.get("HTTP_X_REQUEST_ID")) if is_trusted else "") or new_id()
        start_work(RequestWork(request_id))

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            return start_response(status, [*headers, (HEADER, request_id)], *exc_info)

        return self._application(environ, start)


def init_app(app: Flask, settings: Settings) -> None:
    """Give each request its id. Call this after everything else that wraps `wsgi_app`."""
    app.wsgi_app = RequestIds(app.wsgi_app, settings.site_proxies)  # type: ignore[method-assign]
    app.add_template_global(lambda: current_ids().get("request", ""), "request_id")
