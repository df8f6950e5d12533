"""The addresses that people use: PUBLIC_URL and SOCKET_URL, as they are from here, through the proxy."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from app.doctor.findings import Findings, one_line
from app.doctor.machine import check_clock
from app.doctor.probe import HEADER, sign
from shared import __version__
from shared.settings import Settings

SECONDS = 8.0
FORGED = "192.0.2.1"  # reserved for documentation (RFC 5737): nobody has it
CERTIFICATE_DAYS = 14
_HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "Z29zc2lwIGRvY3Rvcgo9PQ==",
}
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class Answer(NamedTuple):
    """The status, the headers and the first bytes of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def check_processes(settings: Settings, findings: Findings) -> None:
    """Check that the site and a worker run on this machine, and are healthy."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.bind, settings.bind)  # noqa: S104 -- only compared
    parts = (("the site", "WEB_PORT", settings.web_port), ("a worker", "SOCKET_PORT", settings.socket_port))
    for name, setting, port in parts:
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        try:
            answer = ask(f"{address}/_health")
        except (OSError, http.client.HTTPException) as error:
            findings.fail(
                f"{name} does not answer at {address}: {one_line(error)}",
                f"start it, or check {setting} and BIND; if it runs on another machine, use --skip processes",
            )
            continue
        report = _json(answer)
        if answer.status == 200:
            findings.ok(f"{name} is healthy at {address}")
        else:
            down = [
                f"{part} is {state}" for part, state in report.items() if part in ("database", "redis") if state != "ok"
            ]
            findings.fail(
                f"{name} at {address} is not healthy: {', '.join(down) or f'status {answer.status}'}",
                "see the findings on the database and Redis; if there are none, compare its settings with these",
            )
        if report.get("version", __version__) != __version__:
            findings.warn(f"{name} runs version {report['version']}, and this is {__version__}", f"restart {name}")


def check_ports(settings: Settings, findings: Findings) -> None:
    """Check that the hosts have addresses, and that the ports accept connections."""
    if _is_local(settings.public_url):
        findings.warn(
            f"PUBLIC_URL is {settings.public_url}, which only this machine can open",
            "set PUBLIC_URL and SOCKET_URL to the addresses that people use",
        )
    places: dict[tuple[str, int], str] = {}
    for setting, url in (("PUBLIC_URL", settings.public_url), ("SOCKET_URL", settings.socket_url)):
        parts = urlsplit(url)
        places.setdefault((parts.hostname or "", _port(parts)), setting)
    for (host, port), setting in places.items():
        try:
            addresses = sorted({str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
        except socket.gaierror:
            findings.fail(
                f"the host of {setting}, {host}, has no address",
                f"add an A or AAAA record for {host}, or correct {setting}",
            )
            continue
        for address in addresses:
            try:
                socket.create_connection((address, port), SECONDS).close()
            except OSError as error:
                findings.fail(
                    f"{setting}: port {port} of {host} ({address}) does not accept connections: {one_line(error)}",
                    "start the proxy, open the port in the firewall, and forward it in the router; if only this "
                    "machine cannot reach its own public address, use --skip ports",
                )
            else:
                findings.ok(f"port {port} of {host} ({address}) accepts connections from here")


def check_proxy(settings: Settings, findings: Findings) -> None:
    """Ask the site, through PUBLIC_URL, what it sees of a request. Then open a socket through SOCKET_URL."""
    try:
        answer = ask(f"{settings.public_url}/_health", {HEADER: sign(settings.secret_key)})
    except (OSError, http.client.HTTPException) as error:
        findings.fail(
            f"{settings.public_url} does not answer: {one_line(error)}",
            "see the findings on ports and TLS; if there are none, look into the proxy's log",
        )
    else:
        _check_answer(answer, settings, findings)
    _check_socket(settings, findings)


def _check_answer(answer: Answer, settings: Settings, findings: Findings) -> None:
    report = _json(answer)
    if "version" not in report:
        findings.fail(
            f"{settings.public_url}/_health is not answered by the site: status {answer.status}",
            "let the proxy pass all paths to the site (WEB_PORT); see deploy/ for complete configurations",
        )
        return
    date = answer.headers.get("Date")
    if date:
        check_clock(settings.public_url, parsedate_to_datetime(date).timestamp() + 0.5, time.time(), findings)
    seen = report.get("seen")
    if not isinstance(seen, dict):
        findings.fail(
            "the site at PUBLIC_URL does not accept this command's signature",
            "give the site and this command the same SECRET_KEY (or INSTANCE_PATH)",
        )
        return
    _check_seen(seen, settings, findings)
    metrics = ask(f"{settings.public_url}/metrics")
    if metrics.status == 200 and b"site_requests" in metrics.body and not _is_local(settings.public_url):
        findings.warn(
            f"{settings.public_url}/metrics can be read from here, and perhaps by everybody",
            "refuse /metrics in the proxy, or set METRICS_NETWORKS",
        )


def _check_seen(seen: dict[str, Any], settings: Settings, findings: Findings) -> None:
    public = urlsplit(settings.public_url)
    proxy = (
        "the proxy must set the header {}: see deploy/ for complete configurations; and TRUSTED_PROXIES must name it"
    )
    if seen.get("scheme") != public.scheme:
        findings.fail(
            f"the site takes requests for {seen.get('scheme')}, and PUBLIC_URL is {public.scheme}",
            proxy.format("X-Forwarded-Proto"),
        )
    elif str(seen.get("host", "")).removesuffix(f":{_PORTS[public.scheme]}") != public.netloc.rpartition("@")[2]:
        findings.fail(
            f"the site takes requests for the host {seen.get('host')}, and PUBLIC_URL is {settings.public_url}",
            proxy.format("X-Forwarded-Host (or Host)"),
        )
    else:
        findings.ok(f"the site sees requests as {seen['scheme']}://{seen['host']}")
    if not settings.site_proxies:
        return
    if not seen.get("is_forwarded"):
        findings.fail(
            "the site does not learn the addresses of its visitors: limits and bans would hit all of them at once",
            proxy.format("X-Forwarded-For"),
        )
        return
    forged = ask(f"{settings.public_url}/_health", {HEADER: sign(settings.secret_key), "X-Forwarded-For": FORGED})
    seen_forged = _json(forged).get("seen") or {}
    if seen_forged.get("address") == FORGED:
        findings.warn(
            "a client on this machine, or on another network of TRUSTED_PROXIES, can make up its address",
            "let the proxy replace X-Forwarded-For (nginx: $remote_addr) instead of adding to it",
        )
    else:
        findings.ok(f"the site sees the address of its visitors (this one's: {seen.get('address')})")


def _check_socket(settings: Settings, findings: Findings) -> None:
    try:
        answer = ask(_as_http(settings.socket_url), _HANDSHAKE)
    except (OSError, http.client.HTTPException) as error:
        findings.fail(f"{settings.socket_url} does not answer: {one_line(error)}", "see the findings on ports and TLS")
        return
    if answer.status != 101:
        findings.fail(
            f"{settings.socket_url} opens no socket: status {answer.status}",
            "let the proxy pass /socket to a worker (SOCKET_PORT), with Upgrade and Connection: see deploy/",
        )
        return
    findings.ok(f"{settings.socket_url} opens a socket")
    chat = ask(_as_http(settings.chat_socket_url))
    if chat.status != 426:
        findings.fail(
            f"{settings.chat_socket_url} does not lead to a worker (status {chat.status}), so the chat is not live",
            "let the proxy pass /chat-socket to a worker too",
        )


def check_tls(settings: Settings, findings: Findings) -> None:
    """Check the certificates: the name, the chain, and how long they are valid."""
    checked: set[tuple[str, int]] = set()
    for url in (settings.public_url, settings.socket_url):
        parts = urlsplit(url)
        place = (parts.hostname or "", _port(parts))
        if parts.scheme in ("https", "wss") and place not in checked:
            checked.add(place)
            _check_certificate(*place, findings)
    if not checked:
        findings.warn(
            "PUBLIC_URL and SOCKET_URL are without TLS: passwords and secrets can be read on the way",
            "put a proxy with a certificate in front (docs/operating.md, Behind a TLS proxy)",
        )


def _check_certificate(host: str, port: int, findings: Findings) -> None:
    try:
        with socket.create_connection((host, port), SECONDS) as connection:
            with ssl.create_default_context().wrap_socket(connection, server_hostname=host) as tls:
                certificate: dict[str, Any] = tls.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        findings.fail(
            f"the certificate of {host}:{port} is not valid: {error.verify_message}",
            f"get a certificate for {host} that browsers trust, and serve it with the whole chain (fullchain.pem)",
        )
        return
    except OSError as error:
        findings.fail(f"{host}:{port} does not speak TLS: {one_line(error)}", "check the proxy's configuration and log")
        return
    ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    days = (ends_at - datetime.now(UTC)).days
    message = f"the certificate of {host}:{port} is valid until {ends_at:%Y-%m-%d}"
    if days < CERTIFICATE_DAYS:
        findings.warn(
            f"{message}: {days} days", "look why it is not renewed (systemctl status certbot.timer, or the proxy's log)"
        )
    else:
        findings.ok(message)


def ask(url: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Send a GET request, follow no redirect, and return the answer.

    Raises:
        OSError, HTTPException: There is no answer.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", _port(parts)
    connection = (
        http.client.HTTPSConnection(host, port, timeout=SECONDS)
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=SECONDS)
    )
    try:
        connection.request(
            "GET", parts.path or "/", headers={"User-Agent": f"gossip-doctor/{__version__}", **(headers or {})}
        )
        response = connection.getresponse()
        body = b"" if response.status == 101 else response.read(100_000)
        return Answer(response.status, dict(response.headers.items()), body)
    finally:
        connection.close()


def _as_http(socket_url: str) -> str:
    return "http" + socket_url.removeprefix("ws")


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]


def _json(answer: Answer) -> dict[str, Any]:
    try:
        report = json.loads(answer.body)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host.startswith("127.") or host == "::1"
