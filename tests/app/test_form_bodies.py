"""Bodies that are not forms, sent to every page with a form."""

from __future__ import annotations

import json

import pytest
from werkzeug.routing import Map, Rule
from werkzeug.routing.converters import NumberConverter

from app.programs import BLUEPRINT

BOUNDARY = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\nvalue\r\n--x--\r\n'
FIELDS = ("login", "email", "name", "username", "text", "reason", "password", "short_name", "pattern", "target", "kind")
ODD_BODIES = {
    "JSON with lists": ("application/json", json.dumps({name: ["a"] for name in FIELDS}).encode(), 415),
    "JSON with numbers": ("application/json", json.dumps({name: 7 for name in FIELDS}).encode(), 415),
    "a JSON list": ("application/json", b"[1]", 415),
    "broken JSON": ("application/problem+json", b"{", 415),
    "text": ("text/plain", b"login=a", 415),
    "an unknown type": ("application/x-unknown; charset=utf-99", b"login=a", 415),
    "a broken type": (";;=", b"login=a", 415),
    "no type": (None, b"login=a", 415),
    "a file": (
        BOUNDARY,
        b"".join([PART[:-7] % (name.encode(), b'; filename="a"') for name in FIELDS]) + b"--x--\r\n",
        422,
    ),
    "a file without a name": (BOUNDARY, PART % (b"", b'; filename=""'), 422),
    "no boundary": ("multipart/form-data", PART % (b"name", b""), 422),
    "another boundary": ("multipart/form-data; boundary=y", PART % (b"name", b""), 422),
    "an unfinished part": (BOUNDARY, (PART % (b"name", b""))[:40], 422),
    "a part without a head": (BOUNDARY, b"--x\r\n\r\nvalue\r\n--x--\r\n", 422),
}


def forms(url_map: Map) -> list[Rule]:
    """All forms of people. What programs send is in test_oauth.py."""
    return [
        rule
        for rule in url_map.iter_rules()
        if "POST" in (rule.methods or ()) and not rule.endpoint.startswith(f"{BLUEPRINT}.")
    ]


def example(url_map: Map, rule: Rule) -> str:
    values = {
        name: 1 if isinstance(converter, NumberConverter) else "gossip" for name, converter in rule._converters.items()
    }
    return url_map.bind("localhost").build(rule.endpoint, {**values, **(rule.defaults or {})})


@pytest.mark.parametrize("odd", ODD_BODIES)
def test_odd_bodies_are_refused_by_every_form(app, visitor, stored, caplog, odd):
    """With a valid CSRF token, and without a traceback."""
    visitor.sign_in(stored.user(role="admin").username)
    token = visitor.token("/account/password")
    app.testing = False
    content_type, body, status = ODD_BODIES[odd]
    caplog.clear()
    rules = forms(app.url_map)
    assert len(rules) > 50
    statuses = {}
    for rule in rules:
        answer = visitor.client.post(
            example(app.url_map, rule),
            data=body,
            content_type=content_type,
            headers={"X-CSRFToken": token, "Accept": "text/html"},
        )
        statuses[rule.rule] = answer.status_code
    assert {rule: got for rule, got in statuses.items() if got != status} == {}
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", BOUNDARY])
def test_both_kinds_of_forms_are_accepted(visitor, stored, content_type):
    fields = {"csrf_token": visitor.token("/sign-in"), "login": stored.user("wren").username, "password": "wrong"}
    if content_type == BOUNDARY:
        answer = visitor.client.post("/sign-in", data=fields, content_type="multipart/form-data")
    else:
        answer = visitor.client.post("/sign-in", data=fields)
    assert answer.status_code == 422 and "do not match" in answer.get_data(as_text=True)


@pytest.mark.parametrize("path", ["/reset", "/register"])
def test_an_address_that_mail_programs_would_decode_is_an_error(visitor, path):
    """RFC 2047 gives `=?…?=` in a mail's head another meaning."""
    answer = visitor.send(path, email="=?utf-8?q?x?=@example.com")
    assert answer.status_code == 422
    assert visitor.problem_of("email") == "This is not an email address: it looks like name@example.com."
