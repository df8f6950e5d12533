"""The parameters of requests, as Authlib reads them: from a form, a JSON object or the query.

RFC 6749 knows forms only. Games that were written for the first Grapevine send JSON, or put everything into the
address.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from urllib.parse import urlencode

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Payload
from flask import Request, url_for
from werkzeug.datastructures import MultiDict

MAX_LENGTH = 4096


class Parameters(OAuth2Payload):  # type: ignore[misc]  # Authlib has no types
    """The parameters of one request. Those without a value count as missing (RFC 6749, section 3.1)."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    @property
    def data(self) -> dict[str, str]:
        """Each parameter's value."""
        return self._values

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        """Each parameter's values: one, since repeated parameters were refused before."""
        return defaultdict(list, {name: [value] for name, value in self._values.items()})


class GameRequest(OAuth2Request):  # type: ignore[misc]
    """A request to an endpoint of OAuth."""

    def __init__(self, request: Request) -> None:
        # The address only serves Authlib's check for TLS. A proxy ends it, and PUBLIC_URL says so.
        super().__init__(request.method, "https://site.invalid" + request.path, headers=request.headers)
        self.values = read_parameters(request)
        self.payload = Parameters(self.values)

    @property
    def args(self) -> dict[str, str]:
        """The parameters, wherever they were sent."""
        return self.values

    @property
    def form(self) -> dict[str, str]:
        """The parameters, wherever they were sent."""
        return self.values


def read_parameters(request: Request) -> dict[str, str]:
    """Return all parameters of a request.

    Raises:
        InvalidRequestError: A parameter was repeated or is too long, or the body is damaged.
    """
    values: dict[str, str] = {}
    for source in (request.args, _body(request)):
        for name, sent in source.lists():
            if len(sent) > 1:
                raise InvalidRequestError(f"The parameter {_shown(name)} is repeated.")
            if sent[0] == "":
                continue
            if len(sent[0]) > MAX_LENGTH:
                raise InvalidRequestError(f"The parameter {_shown(name)} is too long.")
            if values.setdefault(name, sent[0]) != sent[0]:
                raise InvalidRequestError(f"The parameter {_shown(name)} differs between the body and the address.")
    return values


def address_with(endpoint: str, values: Mapping[str, str]) -> str:
    """Return the address of a page with these parameters. (`url_for` would take some of the names as its own.)"""
    return f"{url_for(endpoint)}?{urlencode(values)}"


def _body(request: Request) -> MultiDict[str, str]:
    if not request.is_json:
        try:
            return request.form
        except ValueError:
            raise InvalidRequestError("The form in the body is damaged.") from None
    values = request.get_json(silent=True)
    if not isinstance(values, dict):
        raise InvalidRequestError("The body is not a JSON object.")
    for name, value in values.items():
        if not isinstance(value, str | int | None) or isinstance(value, bool):
            raise InvalidRequestError(f"The parameter {_shown(name)} must be a text.")
    return MultiDict({name: str(value) for name, value in values.items() if value is not None})


def _shown(name: str) -> str:
    """Return a parameter's name in the characters that RFC 6749 allows in descriptions."""
    return "".join(char for char in name[:40] if char.isascii() and (char.isalnum() or char in "_-")) or "(unnamed)"
