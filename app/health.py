"""`/_health` for load balancers and `/metrics` for Prometheus."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from shutil import disk_usage
from typing import Any

from flask import Flask, Response, abort, g, jsonify, request
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError

from app.doctor import probe
from app.occasional_log import log_failure
from shared import __version__
from shared.bus import Bus
from shared.client_addresses import TrustedProxies
from shared.db import check_writing, find_write_fault, is_busy, reading
from shared.settings import Settings

CHECK_SECONDS = 2.0
LEAST_FREE_BYTES = 4 * 1024**2
METHODS = frozenset(["GET", "HEAD", "OPTIONS", "POST"])


def init_app(app: Flask) -> None:
    """Count every request and add the two routes."""
    registry = CollectorRegistry()
    requests = Counter("site_requests", "Requests answered", ["endpoint", "method", "status"], registry=registry)
    seconds = Histogram("site_request_seconds", "Seconds until the answer was ready", ["endpoint"], registry=registry)
    bus: Bus = app.extensions["bus"]
    settings: Settings = app.extensions["settings"]
    readers = TrustedProxies(settings.metrics_networks)

    @app.before_request
    def start_clock() -> None:
        g.started_at = time.perf_counter()

    @app.after_request
    def count(response: Response) -> Response:
        endpoint = request.endpoint or "none"
        # Clients can send any word as the method; each would become a series of its own.
        method = request.method if request.method in METHODS else "other"
        requests.labels(endpoint, method, response.status_code).inc()
        if "started_at" in g:
            seconds.labels(endpoint).observe(time.perf_counter() - g.started_at)
        return response

    @app.get("/_health")
    def health() -> ResponseReturnValue:
        database: _DatabaseCheck = app.extensions.setdefault("database_check", _DatabaseCheck(app))
        parts = {"database": database.state(), "redis": bus.state()}
        is_healthy = all(state == "ok" for state in parts.values())
        report: dict[str, Any] = {"status": "ok" if is_healthy else "down", "version": __version__, **parts}
        question = request.headers.get(probe.HEADER)
        if question and probe.is_signed(question, settings.secret_key):
            report["seen"] = _seen_of_request()
        answer = jsonify(report)
        answer.headers["Cache-Control"] = "no-store"
        return answer, 200 if is_healthy else 503

    @app.get("/metrics")
    def metrics() -> ResponseReturnValue:
        if not readers.has(request.remote_addr or ""):
            abort(404)
        collected = registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            # With several gunicorn processes, the library collects the numbers of all of them from this folder.
            collected = CollectorRegistry()
            MultiProcessCollector(collected)  # type: ignore[no-untyped-call]
        return Response(generate_latest(collected), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _seen_of_request() -> dict[str, Any]:
    """Return what the proxy's headers say about this request, for `flask doctor`."""
    return {
        "address": request.remote_addr,
        "scheme": request.scheme,
        "host": request.host,
        "is_forwarded": "X-Forwarded-For" in request.headers or "Forwarded" in request.headers,
    }


class _DatabaseCheck:
    """Checks the database at most once every CHECK_SECONDS, however many requests arrive."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        url = make_url(app.extensions["settings"].database_url)
        self._sqlite_path = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
        self._lock = threading.Lock()
        self._checked_at = float("-inf")
        self._state = ""

    def state(self) -> str:
        """Return "ok", "down", "read-only" or "full"."""
        with self._lock:
            if time.monotonic() - self._checked_at >= CHECK_SECONDS:
                self._state = self._check()
                self._checked_at = time.monotonic()
            return self._state

    def _check(self) -> str:
        try:
            with reading() as session:
                session.execute(text("SELECT 1"))
        except Exception as error:  # any error means that the database is down
            log_failure(self._app, "the database cannot be reached", error)
            return "down"
        try:
            check_writing()
        except DBAPIError as error:
            if isinstance(error, OperationalError) and is_busy(error):
                return "ok"
            log_failure(self._app, "the database cannot be written to", error)
            return find_write_fault(error) or "down"
        folder = None if self._sqlite_path is None else self._sqlite_path.parent
        return "full" if folder is not None and disk_usage(folder).free < LEAST_FREE_BYTES else "ok"
