"""`/_health` for load balancers and `/metrics` for Prometheus."""

from __future__ import annotations

import os
import time

from flask import Flask, Response, g, jsonify, request
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import text

from shared import __version__
from shared.bus import Bus
from shared.db import reading

METHODS = frozenset(["GET", "HEAD", "OPTIONS", "POST"])


def init_app(app: Flask) -> None:
    """Count every request and add the two routes."""
    registry = CollectorRegistry()
    requests = Counter("site_requests", "Requests answered", ["endpoint", "method", "status"], registry=registry)
    seconds = Histogram("site_request_seconds", "Seconds until the answer was ready", ["endpoint"], registry=registry)
    bus: Bus = app.extensions["bus"]

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
        parts = {"database": _check_database(app), "redis": "ok" if bus.is_up() else "down"}
        is_healthy = all(state == "ok" for state in parts.values())
        answer = jsonify(status="ok" if is_healthy else "down", version=__version__, **parts)
        answer.headers["Cache-Control"] = "no-store"
        return answer, 200 if is_healthy else 503

    @app.get("/metrics")
    def metrics() -> ResponseReturnValue:
        collected = registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            # With several gunicorn processes, the library collects the numbers of all of them from this folder.
            collected = CollectorRegistry()
            MultiProcessCollector(collected)  # type: ignore[no-untyped-call]
        return Response(generate_latest(collected), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _check_database(app: Flask) -> str:
    try:
        with reading() as session:
            session.execute(text("SELECT 1"))
    except Exception as error:  # any error means that the database is down
        app.logger.error("the database cannot be reached: %s", error)
        return "down"
    return "ok"
