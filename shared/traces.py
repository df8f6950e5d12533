"""OpenTelemetry traces of requests, messages and statements, if TRACES_URL is set.

OpenTelemetry (requirements-traces.txt) is imported only then. Without it, `span` costs one comparison.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from shared import __version__
from shared.request_ids import current_ids
from shared.settings import Settings, SettingsError

STATEMENT_LENGTH = 2_000
QUIET_SECONDS = 60.0
_NOTHING = nullcontext()

_tracer: Any = None


def start_traces(settings: Settings, service: str) -> None:
    """Send the traces of this process to TRACES_URL from now on. Does nothing if it is not set.

    Call this in the process that does the work: a fork would lose the thread that sends.

    Args:
        service: The name of the service, such as `gossip-site`.

    Raises:
        SettingsError: OpenTelemetry is not installed.
    """
    if not settings.traces_url:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
    except ImportError:
        raise SettingsError(
            "TRACES_URL needs more packages: run '.venv/bin/pip install --requirement requirements-traces.txt'"
        ) from None
    provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.version": __version__}),
        sampler=ParentBasedTraceIdRatio(settings.traces_sample),
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{settings.traces_url}/v1/traces")))
    logging.getLogger("opentelemetry.exporter").addFilter(_Occasional())
    use_provider(provider)


def use_provider(provider: Any) -> None:
    """Make spans with this provider; None: make none."""
    global _tracer
    _tracer = None if provider is None else provider.get_tracer("gossip", __version__)


def is_on() -> bool:
    """Return whether spans are made."""
    return _tracer is not None


@contextmanager
def _span(name: str, attributes: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[Any]:
    ids = {f"gossip.{key}": value for key, value in current_ids().items()}
    with _tracer.start_as_current_span(name, attributes={**ids, **attributes}, **options) as span:
        yield span


def span(name: str, attributes: Mapping[str, Any] | None = None, **options: Any) -> Any:
    """Return a context manager for a span, with the ids of the current work. Its value is None while traces are off.

    Args:
        options: More arguments of `start_as_current_span`.
    """
    return _NOTHING if _tracer is None else _span(name, attributes or {}, options)


def server_span(name: str, headers: Mapping[str, str], attributes: Mapping[str, Any]) -> Any:
    """Return a context manager for the span of a request, as a child of the one in the header `traceparent`.

    Args:
        headers: `traceparent` and `tracestate`, if the request has them and its sender may choose them.
    """
    if _tracer is None:
        return _NOTHING
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract(headers)
    return span(name, attributes, context=parent, kind=SpanKind.SERVER)


def trace_statements(engine: Engine) -> None:
    """Make a span for each statement, without its values."""
    system = {"sqlite": "sqlite", "postgresql": "postgresql"}[engine.dialect.name]

    @event.listens_for(engine, "before_cursor_execute")
    def begin(_connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        if _tracer is not None and context is not None:
            words = statement.split(None, 1)
            attributes = {"db.system.name": system, "db.query.text": statement[:STATEMENT_LENGTH]}
            context.gossip_span = _tracer.start_span(words[0].upper() if words else "SQL", attributes=attributes)

    @event.listens_for(engine, "after_cursor_execute")
    def end(_connection: Any, _cursor: Any, _statement: str, _values: Any, context: Any, _many: bool) -> None:
        statement_span = getattr(context, "gossip_span", None)
        if statement_span is not None:
            statement_span.end()

    @event.listens_for(engine, "handle_error")
    def fail(failure: ExceptionContext) -> None:
        statement_span = getattr(failure.execution_context, "gossip_span", None)
        if statement_span is not None:
            from opentelemetry.trace import StatusCode

            statement_span.set_status(StatusCode.ERROR, type(failure.original_exception).__name__)
            statement_span.end()


class _Occasional(logging.Filter):
    """Lets one record pass in QUIET_SECONDS: the collector may be away for long."""

    def __init__(self) -> None:
        super().__init__()
        self._last = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._last < QUIET_SECONDS:
            return False
        self._last = now
        return True
