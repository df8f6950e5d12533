"""Traces reach a collector, and only if TRACES_URL is set."""

from __future__ import annotations

import gzip
import http.client
import http.server
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared import traces
from shared.settings import SettingsError
from tests.support.client import SocketClient
from tests.support.factory import Factory
from tests.support.processes import ROOT, clean_environment
from tests.support.servers import RunningSite, RunningWorker
from tests.support.waiting import wait_until


class Collector:
    """A collector: accepts OTLP over HTTP and keeps the spans, as (service, name, attributes, parent)."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.add(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def add(self, body: bytes) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(
                item.value.string_value for item in resource.resource.attributes if item.key == "service.name"
            )
            self.spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]

    def find(self, service: str, name: str) -> Any:
        """Return the first span with this name; None if it has not come."""
        return next((span for of, span in self.spans if of == service and span.name == name), None)

    def below(self, parent: Any) -> list[Any]:
        return [span for _, span in self.spans if span.parent_span_id == parent.span_id]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def attributes(span: Any) -> dict[str, str]:
    return {item.key: item.value.string_value or str(item.value.int_value) for item in span.attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def test_traces_of_site_worker_and_database_reach_the_collector(
    any_database: str,
    collector: Collector,
    start_site: Callable[..., RunningSite],
    start_worker: Callable[..., RunningWorker],
    connect: Callable[..., SocketClient],
    stored: Factory,
) -> None:
    options = {
        "TRACES_URL": collector.url,
        "PUBLIC_URL": "https://gossip.example.com",
        "SOCKET_URL": "wss://gossip.example.com/socket",
    }
    site, worker = start_site(**options), start_worker(**options)
    stored.channel("gossip")
    _, credentials = stored.game_with_credentials()
    trace_id = "0af7651916cd43dd8448eb211c80319c"

    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    headers = {"X-Request-ID": "edge-1", "traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    connection.request("GET", "/games/Nothing", headers=headers)
    assert connection.getresponse().status == 404
    connection.close()
    client = connect(worker.url)
    client.authenticate(credentials.client_id, credentials.client_secret, channels=["gossip"])
    client.request("channels/send", {"channel": "gossip", "name": "Ann", "message": "A secret word"})
    client.request("channels/subscribe", {"channel": "new"})
    client.send("made/up", {"a": 1}, ref="1")
    client.wait_for("made/up")
    assert site.stop() == 0 and worker.stop() == 0  # sends what is pending

    request = wait_until(lambda: collector.find("gossip-site", "GET /games/<short_name>"), what="the site's span")
    assert request.trace_id.hex() == trace_id
    assert attributes(request)["http.response.status_code"] == "404"
    assert attributes(request)["gossip.request"] == "edge-1"
    statements = [attributes(span)["db.query.text"] for span in collector.below(request)]
    assert any("FROM games" in statement for statement in statements)

    subscription = wait_until(lambda: collector.find("gossip-worker", "channels/subscribe"), what="the worker's span")
    assert attributes(subscription)["gossip.connection"]
    stored_lines = collector.find("gossip-worker", "store lines")
    assert attributes(stored_lines)["gossip.lines"] == "1"
    assert collector.find("gossip-worker", "read credentials") and collector.find("gossip-worker", "unknown event")
    for _, span in collector.spans:
        assert "A secret word" not in str(span) and credentials.client_secret not in str(span)


def test_without_the_setting_nothing_is_imported(processes: None, environment: dict[str, str]) -> None:
    """Except for what the client of Redis imports by itself where OpenTelemetry is installed."""
    code = (
        "import sys, app.site; from shared.settings import Settings; from shared import traces\n"
        "traces.start_traces(Settings.from_environment(), 'x')\n"
        "with traces.span('x') as nothing: assert nothing is None\n"
        "assert not {'opentelemetry.sdk.trace', 'opentelemetry.exporter'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=clean_environment(**environment), check=True)


def test_a_missing_package_is_named(make_settings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=r"requirements-traces\.txt"):
        traces.start_traces(make_settings(TRACES_URL="http://127.0.0.1:4318"), "gossip-site")


@pytest.mark.parametrize(("name", "text"), [("TRACES_URL", "localhost:4318"), ("TRACES_SAMPLE", "2")])
def test_unusable_settings_are_refused(make_settings: Callable[..., Any], name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name):
        make_settings(**{name: text})
