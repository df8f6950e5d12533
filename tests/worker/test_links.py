"""Links of profiles: read by a worker, and verified if the page links back with rel="me"."""

from __future__ import annotations

import socket

import pytest

from shared import db
from shared.models import ProfileLink
from shared.services import profile_links
from shared.services.profile_links import LinkTarget, links_back
from tests.support.endpoints import listening
from tests.support.waiting import wait_until
from worker.jobs.probes import PAGE_BYTES, ProbeFailed, Prober

PROFILE = "https://gossip.example/players/wren"
HERE = [(int(socket.AF_INET), "127.0.0.1")]


def serves(*answers: str):
    """Return a function that answers the requests with these texts, one after the other."""
    left = list(answers)

    def answer(connection: socket.socket) -> bytes:
        request = connection.recv(4096)
        connection.sendall(left.pop(0).encode())
        return request

    return answer


def page(body: str, status: str = "200 OK", *headers: str) -> str:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "Connection: close", "", body])


@pytest.mark.parametrize(
    ("html", "is_back"),
    [
        (f'<a rel="me" href="{PROFILE}">me</a>', True),
        (f'<LINK REL="nofollow ME" HREF="{PROFILE.upper()}/">', True),
        (f'<a rel="menu" href="{PROFILE}">', False),
        (f'<a href="{PROFILE}">', False),
        ('<a rel="me" href="https://gossip.example/players/wren2">', False),
        (f'<!-- <a rel="me" href="{PROFILE}"> -->', False),
        ("<a rel=me>", False),
        ("<" * 10_000, False),
    ],
)
def test_a_page_links_back_only_with_rel_me(html, is_back):
    assert links_back(html, PROFILE) is is_back


def read(answer, *, allows_private=True, path="/"):
    with listening(answer) as endpoint:
        prober = Prober(lambda name: HERE, allows_private=allows_private)
        return prober.read_page(f"http://wren.test:{endpoint.port}{path}"), endpoint


def test_a_page_is_read_after_redirects_on_its_host_and_cut():
    text, endpoint = read(serves(page("", "302 Found", "Location: /home"), page("x" * (PAGE_BYTES + 5000))))
    assert text == "x" * PAGE_BYTES and endpoint.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        page("", "302 Found", "Location: http://elsewhere.test/"),
        page("", "302 Found", "Location: file:///etc/passwd"),
        page("gone", "404 Not Found"),
        "SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_other_pages_are_not_read(answer):
    with pytest.raises(ProbeFailed):
        read(serves(answer))


def test_a_private_address_is_never_contacted():
    with listening(serves(page("x"))) as endpoint:
        with pytest.raises(ProbeFailed):
            Prober(lambda name: HERE).read_page(f"http://wren.test:{endpoint.port}/")
        assert endpoint.connections == 0


@pytest.mark.usefixtures("any_database")
def test_a_link_is_claimed_once_and_an_edit_invalidates_its_check(make, session):
    now = db.utc_now()
    link = ProfileLink(user_id=make.user("wren").id, url="https://a.example", due_at=now)
    session.add(link)
    session.flush()
    target = LinkTarget(link.id, "https://a.example", "wren")
    assert profile_links.take_due(session, now=now, at_most=5) == [target]
    assert profile_links.take_due(session, now=now, at_most=5) == []
    assert profile_links.take_due(session, now=now + profile_links.LEASE, at_most=5) == [target]
    link.url = "https://b.example"
    profile_links.finish(session, target, is_verified=True, now=now)
    assert link.verified_at is None
    profile_links.finish(session, LinkTarget(link.id, link.url, "wren"), is_verified=True, now=now)
    assert link.verified_at == now and link.due_at == now + profile_links.AGAIN_AFTER


def test_a_worker_verifies_a_link_and_takes_it_back(start_worker, stored, settings):
    user = stored.user("wren")
    profile = f"{settings.public_url}/players/wren"
    good, bad = page(f'<a rel="me" href="{profile}">me</a>'), page("nothing")
    with listening(serves(good)) as first, listening(serves(bad)) as second:
        with db.transaction() as session:
            for endpoint, verified_at in ((first, None), (second, db.utc_now())):
                url = f"http://127.0.0.1:{endpoint.port}/"
                session.add(ProfileLink(user_id=user.id, url=url, verified_at=verified_at, due_at=db.utc_now()))
        start_worker(CHECK_PRIVATE_ADDRESSES="on", PUBLIC_URL=settings.public_url)

        def results():
            with db.reading() as session:
                links = session.query(ProfileLink).order_by(ProfileLink.id).all()
                done = all(link.due_at > db.utc_now() + profile_links.LEASE for link in links)
                return done and [link.verified_at is not None for link in links]

        assert wait_until(results, seconds=20) == [True, False]
