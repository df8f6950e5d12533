"""Every page and form gets random and hostile input, made from the site's routes and forms. Nothing fails with 500.

ROUTE_FUZZ_ROUNDS sets how many requests each route gets.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from urllib.parse import quote

import pytest
from flask_wtf import FlaskForm
from wtforms import Field

from tests.support.moderating import make_moderated

ROUNDS = int(os.environ.get("ROUTE_FUZZ_ROUNDS", "6"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
NUMBERS = ("0", "-1", "1", "007", "+1", "1e3", "2147483648", str(2**63 - 1), str(2**63), "9" * 40, "٣", "1_0", " 1")
TEXTS = (
    "", " ", "gossip", "Harbour", "reader", "\ud7ff\ufffd", "é" * 70, "😀" * 300, "x" * 5_000, "a\nb\r\nc", "\u202etxt",
    "\x1b[31m", "%00", "%", "<b>", "'\"`--", "../../etc/passwd", "{{7*7}}", "=1+1", "null", "on", "player", "127.0.0.1",
    "2001:db8::/32", "http://[", "https://example.com:99999/", "xn--a", "bücher.example", "=?utf-8?q?x?=@example.com",
    "9999-12-31", "0001-01-01T00:00", "2026-02-30", "*@*", "a@b@c",
)  # fmt: skip
ALLOWED = frozenset([200, 301, 302, 303, 304, 308, 400, 401, 403, 404, 405, 413, 415, 422, 429])

pytestmark = pytest.mark.timeout(60 + 20 * ROUNDS)


@pytest.fixture
def form_fields(monkeypatch) -> set[str]:
    """Collect the names of the fields of all forms that are opened."""
    names: set[str] = set()
    constructor = FlaskForm.__init__

    def collect(form, *arguments, **options):
        constructor(form, *arguments, **options)
        names.update(field.name for field in form if isinstance(field, Field))

    monkeypatch.setattr(FlaskForm, "__init__", collect)
    return names


def test_no_request_fails(app, new_visitor, stored, caplog, form_fields):
    """As an admin, who gets furthest, and as a visitor."""
    world = make_moderated(stored)
    app.testing = False
    choose = random.Random(SEED)
    statuses: Counter[int] = Counter()
    failures = []
    clients = []
    for user in (world.admin, None):
        visitor = new_visitor()
        if user is not None:
            visitor.sign_in(user.username)
        clients.append((visitor.client, visitor.token("/sign-in"), user is not None))

    def value() -> str:
        return choose.choice(choose.choice([NUMBERS, TEXTS]))

    skipped = ("/sign-out", "/account/delete", "/account/sessions", "/account/password")  # they end the session
    rules = sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)
    for _round in range(ROUNDS):
        for rule in rules:
            path = rule.rule
            for name in rule.arguments:
                part = choose.choice([*world.ids().values(), value()])
                path = path.replace(f"<{_converter(rule, name)}{name}>", quote(part, safe="") or "x")
            known = sorted(form_fields)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                for client, token, is_admin in clients:
                    if method == "POST" and is_admin and rule.rule.startswith(skipped):
                        continue
                    given = {choose.choice(known): value() for _ in range(choose.randrange(1, 6))} if known else {}
                    if method == "POST":
                        answer = client.post(path, data={**given, "csrf_token": token})
                    else:
                        names = ("page", "before", "after", "q", "channel", "next", "message", "since", "until", *given)
                        answer = client.get(path, query_string={choose.choice(names): value() for _ in range(2)})
                    statuses[answer.status_code] += 1
                    if answer.status_code not in ALLOWED or b"Traceback" in answer.get_data():
                        failures.append((method, path, given, answer.status_code))
    print(f"{sum(statuses.values()):,} requests to {len(rules)} routes, {len(form_fields)} fields: {dict(statuses)}")
    assert failures == []
    assert not any(record.exc_info for record in caplog.records)
    assert statuses[200] > 0 and len(form_fields) > 30


def _converter(rule, name: str) -> str:
    """Return the converter of an argument as the rule spells it, with its colon."""
    before = rule.rule.partition(f"{name}>")[0].rpartition("<")[2]
    return before
