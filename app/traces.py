"""A span for each request, while traces are on (`shared/traces.py`)."""

from __future__ import annotations

from contextlib import ExitStack

from flask import Flask, Response, g, request

from shared import traces


def init_app(app: Flask) -> None:
    """Trace requests. Call this before anything else that runs before a request."""

    @app.before_request
    def begin() -> None:
        if not traces.is_on():
            return
        g.trace = stack = ExitStack()
        route = request.url_rule.rule if request.url_rule else "none"
        # app/request_ids.py has removed these headers unless a trusted proxy has sent them.
        headers = {name: request.headers[name] for name in ("traceparent", "tracestate") if name in request.headers}
        attributes = {"http.request.method": request.method, "http.route": route}
        g.span = stack.enter_context(traces.server_span(f"{request.method} {route}", headers, attributes))

    @app.after_request
    def note_status(response: Response) -> Response:
        if "span" in g:
            g.span.set_attribute("http.response.status_code", response.status_code)
        return response

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        stack: ExitStack | None = g.pop("trace", None)
        if stack is not None:
            stack.close()
