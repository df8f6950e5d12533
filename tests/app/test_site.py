"""What applies to the whole site: headers, cookies, error pages, health, metrics."""

import re
import time

import pytest
from flask import url_for
from sqlalchemy import event
from sqlalchemy import text as statement
from werkzeug.routing import IntegerConverter, PathConverter

from app import create_app
from shared import bus, db

PUBLIC = ["/", "/games", "/chat", "/docs", "/conduct", "/contact", "/privacy", "/register", "/sign-in", "/reset"]


@pytest.mark.parametrize("path", PUBLIC)
def test_public_pages_are_small_valid_and_safe(client, path):
    """One title, one h1, a language, a description, and no inline script or style, which the policy would refuse."""
    answer = client.get(path)
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert len(text) < 20_000
    assert len(re.findall(r"<h1[ >]", text)) == 1
    assert '<html lang="en">' in text and 'name="description"' in text and 'property="og:title"' in text
    assert 'href="#main"' in text and '<main id="main"' in text
    assert not re.search(r"\sstyle=|<style|<script(?! src=)|\son[a-z]+=", text)
    text = re.sub(r'<link rel="canonical" [^>]*>', "", text, count=1)
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_pages_without_a_form_set_no_cookie(client):
    """Readers are not tracked."""
    assert "Set-Cookie" not in client.get("/games").headers


@pytest.mark.parametrize(("public_url", "is_secure"), [("https://gossip.example", True), ("http://127.0.0.1:0", False)])
def test_the_session_cookie(make_settings, engine, public_url, is_secure):
    """Scripts and other sites cannot read it. It is limited to TLS if the public site uses TLS."""
    from app import create_app

    cookie = create_app(make_settings(PUBLIC_URL=public_url)).test_client().get("/sign-in").headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    assert ("Secure" in cookie) is is_secure


@pytest.mark.parametrize(
    ("public_url", "is_trusted"), [("https://gossip.example", True), ("http://127.0.0.1:0", False)]
)
def test_a_proxys_headers_are_trusted_only_behind_one(make_settings, engine, public_url, is_trusted):
    """Otherwise clients could choose their address and get around the limits."""
    from flask import request

    from app import create_app

    app = create_app(make_settings(PUBLIC_URL=public_url))
    with app.test_client() as client:
        client.get("/conduct", headers={"X-Forwarded-For": "203.0.113.9"})
        assert (request.remote_addr == "203.0.113.9") is is_trusted


def test_assets_are_cached_for_a_year_by_content(client):
    """The stylesheet's address contains a hash of its content."""
    href = re.search(r'href="(/static/site\.css\?v=[0-9a-f]+)"', client.get("/").get_data(as_text=True))[1]
    answer = client.get(href)
    assert answer.status_code == 200
    assert "max-age=31536000" in answer.headers["Cache-Control"]
    assert "http" not in answer.get_data(as_text=True)
    assert client.get("/static/favicon.svg").content_type.startswith("image/svg+xml")


def test_a_missing_csrf_token_gets_an_explanation(client):
    """It says what happened, that nothing was changed, and what to do."""
    for data in ({}, {"csrf_token": "made up"}):
        answer = client.post("/register", data={"username": "wren", **data})
        text = answer.get_data(as_text=True)
        assert answer.status_code == 400
        assert "could not be verified" in text and "nothing was changed" in text and "reload the page" in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/games/nothing", 404),
        ("GET", "/games/a%00b", 404),
        ("GET", "/games?q=%00", 404),
        ("GET", "/sign-out", 405),
        ("PUT", "/conduct", 405),
    ],
)
def test_errors_are_pages_of_the_site(any_database, client, method, path, status):
    """Each has a link back."""
    answer = client.open(path, method=method)
    assert answer.status_code == status
    assert f"error {status}" in answer.get_data(as_text=True)
    assert 'href="/"' in answer.get_data(as_text=True)


def test_every_address_with_a_trailing_slash_leads_to_the_page_without(client):
    """For each route that a browser can open. The query stays."""
    routes = [
        rule
        for rule in client.application.url_map.iter_rules()
        if "GET" in rule.methods
        and rule.rule != "/"
        and not any(isinstance(c, PathConverter) for c in rule._converters.values())
    ]
    assert len(routes) > 50
    with client.application.test_request_context():
        for rule in routes:
            numbers = {name: 1 if isinstance(c, IntegerConverter) else "x" for name, c in rule._converters.items()}
            path = url_for(rule.endpoint, **numbers)
            answer = client.get(f"{path}/?q=a%20b&page=2")
            assert (answer.status_code, answer.headers.get("Location")) == (308, f"{path}?q=a%20b&page=2"), path


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/games//", "/games"),
        ("//games/", "/games"),
        ("/players/wren/", "/players/wren"),
        ("/players//evil.example/", "/players/evil.example"),
        ("//evil.example/", None),
        ("//evil.example//games/", None),
        ("/\\evil.example/", None),
        ("/players/\r\nX-Evil:1/", "/players/%0D%0AX-Evil:1"),
        ("/nowhere/", None),
        ("/sign-out/", None),
    ],
)
def test_a_trailing_slash_never_leads_to_another_site(client, path, location):
    answer = client.get("/", environ_overrides={"PATH_INFO": path})
    if location is None:
        assert answer.status_code == 404
    else:
        assert (answer.status_code, answer.headers["Location"]) == (308, location)


def test_a_form_sent_to_an_address_with_a_trailing_slash_is_not_found(client):
    assert client.post("/games/").status_code == 404


def test_a_form_that_is_too_big_is_refused(visitor):
    """With a page, not a dropped connection."""
    answer = visitor.send("/register", username="x" * 300_000)
    assert answer.status_code == 413
    assert "256 KiB" in visitor.page


@pytest.fixture
def new_site(settings):
    """A site of its own, with counters at zero. A test can add routes to it."""
    yield create_app(settings)
    bus.publish_after_commit(None)


def test_a_bug_gets_an_error_page(new_site):
    """The page says nothing about the cause."""

    @new_site.get("/broken")
    def broken():
        raise RuntimeError("a secret detail")

    answer = new_site.test_client().get("/broken")
    assert answer.status_code == 500
    assert "secret detail" not in answer.get_data(as_text=True)
    assert "went wrong on our side" in answer.get_data(as_text=True)


def test_a_healthy_site_says_so(client):
    """The response for load balancers."""
    answer = client.get("/_health")
    assert answer.status_code == 200
    body = answer.get_json()
    assert body.pop("version")
    assert body == {"status": "ok", "database": "ok", "redis": "ok"}


def test_pages_work_without_redis_and_health_reports_it(visitor, stored, own_valkey):
    """Redis is never the only copy of a record."""
    user = stored.user()
    own_valkey.stop()
    answer = visitor.client.get("/_health")
    assert answer.status_code == 503
    assert answer.get_json()["redis"] == "down" and answer.get_json()["database"] == "ok"
    visitor.sign_in(user.username)
    assert visitor.client.get("/games").status_code == 200


def test_a_missing_database_gets_a_page_and_health_reports_it(client, tmp_path, caplog):
    """503 and one line in the log, also if the session would have to be looked up."""
    db.bind(db.make_engine(f"sqlite:///{tmp_path}/missing/folder.db"))
    with client.session_transaction() as session:
        session["_user_id"] = "1:token"
    answer = client.get("/_health")
    assert (answer.status_code, answer.get_json()["database"]) == (503, "down")
    for path in ("/games", "/manage/games"):
        caplog.clear()
        answer = client.get(path)
        assert answer.status_code == 503
        assert "\n" not in caplog.text.rstrip("\n") and "Traceback" not in caplog.text
        assert "is not available" in answer.get_data(as_text=True)


@pytest.mark.postgres
@pytest.mark.parametrize("any_database", ["postgres"], indirect=True)
def test_a_site_that_froze_inside_a_transaction_answers_503(any_database, visitor, stored, caplog):
    """PostgreSQL has ended the transaction meanwhile."""
    visitor.sign_in(stored.user().username)
    engine = db.SessionFactory.kw["bind"]

    def freeze(connection):
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 1")
        time.sleep(0.1)  # time is the subject: as long as a freeze

    event.listen(engine, "begin", freeze)
    try:
        answer = visitor.client.get("/manage/games")
    finally:
        event.remove(engine, "begin", freeze)
    assert answer.status_code == 503
    assert "\n" not in caplog.text.rstrip("\n") and "Traceback" not in caplog.text
    assert visitor.client.get("/manage/games").status_code == 200


@pytest.fixture
def locked(settings, monkeypatch):
    """Lock the database for longer than a request waits."""
    monkeypatch.setattr(db, "LOCK_SECONDS", 0.1)
    db.bind(db.make_engine(settings.database_url))
    with db.make_engine(settings.database_url).connect() as other:
        other.execute(statement("SELECT 1"))
        yield other


def test_a_busy_database_keeps_the_input_of_a_form(visitor, stored, request):
    """Nothing is changed and the page says so. A moment later the form works."""
    visitor.sign_in(stored.user().username)
    fields = {"name": "The Harbour", "short_name": "Harbour", "description": "Ships <b>come"}
    visitor.open("/manage/games/new")
    other = request.getfixturevalue("locked")
    answer = visitor.send("/manage/games/new", **fields)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "Nothing was saved" in visitor.page and "very busy" in visitor.page
    assert all(visitor.value_of(name) == value for name, value in fields.items() if name != "description")
    assert "Ships &lt;b&gt;come" in answer.text
    other.rollback()
    assert visitor.send("/manage/games/new", **fields).status_code == 303


def test_a_busy_database_gets_an_error_page_where_there_is_no_form(visitor, stored, caplog, request):
    """Or JSON, if requested, and one line in the log."""
    visitor.sign_in(stored.user().username)
    visitor.open("/account")
    request.getfixturevalue("locked")
    caplog.clear()
    answer = visitor.send("/account/sessions", form_on="/account")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "very busy" in visitor.page and "Nothing was changed" in visitor.page
    assert "\n" not in caplog.text.rstrip("\n") and "Traceback" not in caplog.text
    token = visitor.client.get("/chat/token.json")
    assert token.status_code == 200, "reading still works"


def test_errors_are_json_if_requested(client):
    answer = client.get("/nowhere.json")
    assert (answer.status_code, answer.get_json()["status"]) == (404, 404)
    answer = client.get("/nowhere", headers={"Accept": "application/json"})
    assert answer.get_json() == {"status": 404, "error": "Page not found"}
    for accept in ("text/html,application/xhtml+xml,*/*;q=0.8", "*/*"):
        assert "<!doctype html>" in client.get("/nowhere", headers={"Accept": accept}).text


def test_requests_are_counted(new_site):
    """By endpoint, method and status, for Prometheus. Unknown methods share one series."""
    client = new_site.test_client()
    client.get("/games")
    client.open("/games", method="BREW")
    text = client.get("/metrics").get_data(as_text=True)
    assert 'site_requests_total{endpoint="games.index",method="GET",status="200"} 1.0' in text
    assert "BREW" not in text


@pytest.mark.parametrize(
    ("networks", "address", "status"),
    [
        ("", "127.0.0.1", 200),
        ("", "::1", 200),
        ("", "::ffff:127.0.0.1", 200),
        ("", "192.0.2.7", 404),
        ("10.0.0.0/8", "10.1.2.3", 200),
        ("10.0.0.0/8", "127.0.0.1", 404),
        ("none", "127.0.0.1", 404),
    ],
)
def test_metrics_are_for_configured_networks(make_settings, engine, networks, address, status):
    """They tell how much the site is used, and by which forms."""
    client = create_app(make_settings(METRICS_NETWORKS=networks)).test_client()
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": address}).status_code == status


def test_visitors_behind_a_proxy_do_not_see_the_metrics(make_settings, engine):
    """The proxy itself runs on this machine."""
    client = create_app(make_settings(PUBLIC_URL="https://gossip.example")).test_client()
    assert client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 404


def test_contact_and_privacy_say_what_the_operator_has_set(make_settings, engine, tmp_path):
    """Who runs the network, and a file of theirs, in which HTML is only text."""
    more = tmp_path / "more.md"
    more.write_text("# Ours\n\nOur proxy keeps *addresses* for a week. <script>\n")
    settings = {"OPERATOR": "Wren & Co", "CONTACT_EMAIL": "a@example.com", "MESSAGE_DAYS": "77"}
    client = create_app(make_settings(**settings, CONTACT_FILE=str(more), PRIVACY_FILE=str(more))).test_client()
    for path in ("/contact", "/privacy"):
        page = client.get(path).get_data(as_text=True)
        assert "Wren &amp; Co runs this network" in page and 'href="mailto:a@example.com"' in page
        assert "keeps <em>addresses</em> for a week. &lt;script&gt;" in page and "Ours" not in page
    assert "77 days" in page


def test_without_settings_contact_and_privacy_are_useful(client):
    assert "have not published an address" in client.get("/contact").get_data(as_text=True)
    assert "responsible" not in client.get("/privacy").get_data(as_text=True)
