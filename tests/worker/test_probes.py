"""Probes of ways to connect, on real sockets: the outcome of each fault, and addresses that are never contacted."""

from __future__ import annotations

import socket
import ssl

import pytest

from shared.public_addresses import is_public
from shared.services.connection_checks import MEANINGS, Outcome, Target
from tests.support.endpoints import (
    Authority,
    answers_http,
    greets,
    hangs_up,
    listening,
    says_nothing,
)
from tests.support.processes import free_port
from tests.support.waiting import wait_until
from worker.jobs import probes
from worker.jobs.probes import Prober

HERE = [(int(socket.AF_INET), "127.0.0.1")]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(authority, monkeypatch):
    """Return the authority, which the system trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    return authority


def probe(type_: str, *, url=None, host="mud.test", port=None, resolve=lambda name: HERE, allows_private=True):
    prober = Prober(resolve, allows_private=allows_private)
    return prober.probe(Target("id", "claim", type_, url, None if url else host, port))


def telnet(answer, *, context=None, **options):
    with listening(answer, context) as endpoint:
        return probe("telnet" if context is None else "secure telnet", port=endpoint.port, **options)


def page(answer, *, path="/", scheme="http", context=None):
    with listening(answer, context) as endpoint:
        result = probe("web", url=f"{scheme}://mud.test:{endpoint.port}{path}")
        return result, endpoint


def test_a_game_that_sends_a_greeting_works():
    result = telnet(greets)
    assert result.outcome == Outcome.OK and 0 <= result.milliseconds < 3000 and result.http_status is None


def test_a_game_that_waits_for_the_player_works_too(monkeypatch):
    monkeypatch.setattr(probes, "GREETING_SECONDS", 0.05)
    assert telnet(says_nothing).outcome == Outcome.OK


def test_a_game_that_hangs_up_fails():
    assert telnet(hangs_up).outcome == Outcome.HUNG_UP


def test_a_port_where_nobody_listens_fails():
    assert probe("telnet", port=free_port()).outcome == Outcome.REFUSED


def test_a_host_that_does_not_answer_times_out(monkeypatch):
    """Its backlog is full, so it accepts no more connections."""
    monkeypatch.setattr(probes, "CONNECT_SECONDS", 0.2)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(8)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        result = probe("telnet", port=port)
        for sock in waiting:
            sock.close()
    assert result.outcome == Outcome.TIMED_OUT and result.milliseconds >= 200


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), Outcome.NAME_NOT_FOUND),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), Outcome.NAME_UNANSWERED),
        (TimeoutError("slow"), Outcome.NAME_UNANSWERED),
        (UnicodeError("no name"), Outcome.NAME_NOT_FOUND),
    ],
)
def test_names_that_do_not_resolve_fail(error, outcome):
    def resolve(name):
        raise error

    assert probe("telnet", port=1, resolve=resolve).outcome == outcome
    assert probe("web", url="http://mud.test/", resolve=resolve).outcome == outcome


def test_the_second_address_is_tried_if_the_first_does_not_answer():
    with listening(greets) as endpoint:
        both = [(int(socket.AF_INET6), "::1"), *HERE]
        assert probe("telnet", port=endpoint.port, resolve=lambda name: both).outcome == Outcome.OK


def test_tls_with_a_trusted_certificate_works(trusted):
    context = trusted.context("mud.test")
    assert telnet(greets, context=context).outcome == Outcome.OK
    assert telnet(greets, context=context, host="mud.test.").outcome == Outcome.OK
    result, _ = page(answers_http("200 OK"), scheme="https", context=context)
    assert (result.outcome, result.http_status) == (Outcome.OK, 200)


def test_invalid_certificates_fail(trusted):
    assert telnet(greets, context=trusted.context("mud.test", is_expired=True)).outcome == Outcome.CERTIFICATE_EXPIRED
    assert telnet(greets, context=trusted.context("other.test")).outcome == Outcome.CERTIFICATE_OF_ANOTHER


def test_a_certificate_of_an_unknown_authority_fails(authority):
    assert telnet(greets, context=authority.context("mud.test")).outcome == Outcome.CERTIFICATE_UNTRUSTED


def test_a_port_without_tls_fails(monkeypatch):
    with listening(greets) as endpoint:
        assert probe("secure telnet", port=endpoint.port).outcome == Outcome.NO_TLS
    monkeypatch.setattr(probes, "TLS_SECONDS", 0.1)
    with listening(says_nothing) as endpoint:
        assert probe("secure telnet", port=endpoint.port).outcome == Outcome.TIMED_OUT


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("200 OK", Outcome.OK),
        ("204 No Content", Outcome.OK),
        ("403 Forbidden", Outcome.TURNED_AWAY),
        ("404 Not Found", Outcome.HTTP_ERROR),
        ("500 Oh", Outcome.HTTP_ERROR),
        ("nonsense", Outcome.NOT_HTTP),
    ],
)
def test_pages_are_checked_by_their_status(status, outcome):
    """The request is like a browser's, and includes the path and the query."""
    result, endpoint = page(answers_http(status), path="/play?a=b%20c")
    assert result.outcome == outcome
    assert result.http_status == (int(status[:3]) if status[0].isdigit() else None)
    (request,) = wait_until(lambda: endpoint.said)
    assert request.startswith(f"GET /play?a=b%20c HTTP/1.1\r\nHost: mud.test:{endpoint.port}\r\n".encode())


def test_a_server_that_does_not_speak_http_fails():
    assert page(greets)[0].outcome == Outcome.NOT_HTTP
    assert page(hangs_up)[0].outcome == Outcome.HUNG_UP


def test_a_page_that_never_ends_is_cut_off():
    """The prober reads only the first part of an endless response."""

    def pours(connection):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")

    assert page(pours)[0].outcome == Outcome.OK


def test_websockets_are_probed_with_a_handshake():
    result, endpoint = page(answers_http("101 Switching Protocols"), scheme="ws")
    assert result.outcome == Outcome.OK and b"Upgrade: websocket" in wait_until(lambda: endpoint.said)[0]


def test_redirects_are_followed_on_the_same_host_only():
    with listening(answers_http("200 OK")) as inner, listening(answers_http("200 OK")) as other:
        looked_up = []

        def resolve(name):
            looked_up.append(name)
            return HERE

        location = f"http://mud.test:{inner.port}/play"
        with listening(answers_http("301 Moved", f"Location: {location}")) as first:
            result = probe("web", url=f"http://mud.test:{first.port}/", resolve=resolve)
        assert (result.outcome, result.http_status, inner.connections) == (Outcome.OK, 200, 1)
        assert looked_up == ["mud.test"], "a second look-up could return other addresses"

        elsewhere = f"Location: http://127.0.0.1:{other.port}/"
        with listening(answers_http("302 Found", elsewhere)) as first:
            result = probe("web", url=f"http://mud.test:{first.port}/")
        assert (result.outcome, result.http_status, other.connections) == (Outcome.REDIRECTED, 302, 0)


@pytest.mark.parametrize("location", ["/again", "http://mud.test:99999/", "http://mud.test:x/"])
def test_endless_and_invalid_redirects_fail(location):
    result, endpoint = page(answers_http("302 Found", f"Location: {location}"))
    assert result.outcome in (Outcome.HTTP_ERROR, Outcome.REFUSED) and endpoint.connections <= 3


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["203.0.114.9", "10.0.0.1"],  # one private address is enough
        ["::1"],
    ],
)
def test_no_connection_goes_to_an_address_that_is_not_public(addresses):
    with listening(greets) as endpoint:
        resolved = [(int(socket.AF_INET6 if ":" in address else socket.AF_INET), address) for address in addresses]
        for type_, url in (("telnet", None), ("web", f"http://mud.test:{endpoint.port}/")):
            result = probe(type_, url=url, port=endpoint.port, resolve=lambda name: resolved, allows_private=False)
            assert result.outcome == Outcome.NOT_PUBLIC
        assert endpoint.connections == 0


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.8.9.1",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.192",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "mud.test",
        "",
    ],
)
def test_non_public_addresses_are_recognized(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_recognized(address):
    assert is_public(address)


def test_every_outcome_has_a_meaning_with_advice():
    assert set(MEANINGS) == set(Outcome)
    assert all(meaning.advice for outcome, meaning in MEANINGS.items() if outcome is not Outcome.OK)
    assert max(map(len, Outcome)) <= 20  # the column's length


def test_certificates_are_verified(authority):
    """The TLS context of the prober verifies host names and chains."""
    context = Prober(lambda name: HERE)._tls
    assert context.check_hostname and context.verify_mode == ssl.CERT_REQUIRED
