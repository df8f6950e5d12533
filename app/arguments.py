"""Numbers in addresses: the query's page and ids, and the ids in paths."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Flask, request, url_for
from werkzeug.routing import IntegerConverter, Map

LARGEST_INT = 2**31 - 1
LARGEST_BIGINT = 2**53
"""The largest whole number that JSON readers keep exact."""


class IntId(IntegerConverter):
    """An id in a path, for records with a 32-bit key. A larger number is 404: PostgreSQL could not even look it up."""

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, min=1, max=LARGEST_INT)


class BigId(IntegerConverter):
    """An id in a path, for records with a 64-bit key. A larger number is 404."""

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=LARGEST_BIGINT)


def init_app(app: Flask) -> None:
    """Register the converters `<int:…>` and `<id:…>`, and `with_page` for templates."""
    app.url_map.converters["int"] = IntId
    app.url_map.converters["id"] = BigId
    app.add_template_global(with_page)


def page_number() -> int:
    """Return the page of a list that the address asks for; 1 if it is missing or not a number."""
    text = request.args.get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) < 7 else 1


def number_argument(name: str) -> int | None:
    """Return a record's id from the query; None if it is missing or not a number."""
    text = request.args.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 15 else None


def with_page(number: int) -> str:
    """Return the address of this page with another page number. The rest of the query stays."""
    arguments = {**request.args.to_dict(), "page": str(number)}
    return f"{url_for(request.endpoint or '', **(request.view_args or {}))}?{urlencode(arguments)}"
