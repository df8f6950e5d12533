"""The bodies of requests: forms are all the site takes from browsers."""

from __future__ import annotations

from flask import Flask, Request, abort, request
from werkzeug.formparser import FormDataParser

from app.programs import is_for_programs

FORMS = frozenset(["application/x-www-form-urlencoded", "multipart/form-data"])


class StrictRequest(Request):
    """A request whose form raises ValueError if it is damaged. Flask's own would be empty."""

    def make_form_data_parser(self) -> FormDataParser:
        """Return the parser of forms."""
        parser = super().make_form_data_parser()
        parser.silent = False
        return parser


def init_app(app: Flask) -> None:
    """Check the body of each request to a page with a form, before anything reads it."""
    app.request_class = StrictRequest
    app.before_request(refuse_odd_bodies)


def refuse_odd_bodies() -> None:
    """Answer 415 to a body that is not a form, and 422 to a damaged form or one with files.

    Forms would read JSON and files too, and find other types in them than text.
    """
    rule = request.url_rule
    if rule is None or "POST" not in (rule.methods or ()) or is_for_programs():
        return
    if request.mimetype not in FORMS and (request.mimetype or request.content_length):
        abort(415)
    try:
        has_files = bool(request.files)
    except ValueError:
        abort(422)
    if has_files:
        abort(422)
