"""Errors as pages: kinds of domain errors become HTTP statuses in one table, statuses become words in another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from flask import Flask, Response, current_app, g, jsonify, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_limiter import RateLimitExceeded
from flask_wtf import FlaskForm
from flask_wtf.csrf import CSRFError
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from app.forms import sentence
from app.limits import seconds_to_wait
from shared.db import is_busy
from shared.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, TooMany, Unavailable

log = structlog.get_logger(__name__)

STATUSES: dict[type[DomainError], int] = {
    NotFound: 404,
    Forbidden: 403,
    Invalid: 422,
    Conflict: 409,
    Unavailable: 503,
    TooMany: 429,
}

# What a page says of a status: its title, and what the reader can do. Nothing here depends on a database.
WORDS: dict[int, tuple[str, str]] = {
    400: ("That request made no sense", "The address or the form came damaged. Go back, reload the page, try again."),
    403: ("You may not do that", "Your account is not allowed to see or change this."),
    404: ("Nothing is here", "The page was moved or deleted, or you may not see it. Is the address typed right?"),
    405: ("This address only takes forms", "It cannot be opened by itself. Go back and use the buttons of the page."),
    409: ("Something else is in the way", "Another record already uses this. Go back and choose something else."),
    413: ("That is too much text", "A form may hold 256 KiB at most. Go back and shorten what you sent."),
    422: ("Something in the form needs another look", "Go back and correct what you typed."),
    429: ("Too many attempts", "To keep accounts safe, you have to wait a while."),
    500: ("Something broke on our side", "It is written down in our log. Trying again in a minute may help."),
    503: ("The network's records cannot be reached now", "This usually passes soon. Nothing was lost: try again."),
}
BUSY_WORDS = (
    "The site is very busy just now",
    "Others were writing for too long. Nothing was changed: go back, and send it again in a moment.",
)
BUSY_FAULT = "The site is very busy just now. This was not saved: send it again in a moment."
BUSY_SECONDS = 5
CSRF_WORDS = (
    "This form could not be checked",
    "Its safety token was missing or too old, so nothing was changed. This happens when cookies are switched off, when "
    "you signed in or out in another tab, or when another site sent the form. Go back, reload the page, send it again.",
)


def init_app(app: Flask) -> None:
    """Answer every kind of error with a page of the site."""

    @app.errorhandler(DomainError)
    def domain_error(error: DomainError) -> ResponseReturnValue:
        status = status_of(error)
        retry_after_ms = error.details.get("retry_after_ms")
        wait = -(-retry_after_ms // 1000) if isinstance(retry_after_ms, int) else None
        return error_page(status, message=sentence(error.message), retry_after_seconds=wait)

    @app.errorhandler(CSRFError)
    def csrf_error(error: CSRFError) -> ResponseReturnValue:
        title, advice = CSRF_WORDS
        return error_page(400, title=title, message=advice)

    @app.errorhandler(RateLimitExceeded)
    def rate_limited(error: RateLimitExceeded) -> ResponseReturnValue:
        return error_page(429, message=error.description or "", retry_after_seconds=seconds_to_wait(app))

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> ResponseReturnValue:
        status = error.code or 500
        if status < 400 and error.response is not None:
            return error.response
        response = error_page(status)
        for name, value in error.get_headers():
            if name.lower() in ("allow", "retry-after"):
                response.headers[name] = value
        return response

    @app.errorhandler(OperationalError)
    @app.errorhandler(InterfaceError)
    @app.errorhandler(PoolTimeout)
    @app.errorhandler(RedisError)
    def part_is_down(error: Exception) -> ResponseReturnValue:
        _log_part(error)
        if isinstance(error, OperationalError) and is_busy(error):
            title, advice = BUSY_WORDS
            return error_page(503, title=title, message=advice, retry_after_seconds=BUSY_SECONDS)
        return error_page(503, retry_after_seconds=30)

    @app.after_request
    def say_busy(response: Response) -> Response:
        """A form that is shown again because nothing could be written: trying later helps, correcting does not."""
        if g.get("found_busy"):
            response.status_code = 503
            response.headers["Retry-After"] = str(BUSY_SECONDS)
        return response


def _log_part(error: Exception) -> None:
    reason = " ".join(str(getattr(error, "orig", None) or error).split())[:300]
    log.error("a part is down", endpoint=request.endpoint, error=type(error).__name__, reason=reason)


def limited_form(error: RateLimitExceeded, form: FlaskForm, template: str) -> Response:
    """A form that is shown again, with what was typed, where a limit was reached; on top of it when to come back."""
    seconds = seconds_to_wait(current_app) or 60
    form.form_errors.append(f"{error.description} Try again in {minutes(seconds)}.")
    response = make_response(render_template(template, form=form), 429)
    response.headers["Retry-After"] = str(seconds)
    return response


def minutes(seconds: int) -> str:
    """A time to wait, for people."""
    count = max(1, -(-seconds // 60))
    return "a minute" if count == 1 else f"{count} minutes"


def status_of(error: DomainError) -> int:
    """The HTTP status of a domain error's kind."""
    return next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 422)


def error_page(status: int, *, title: str = "", message: str = "", retry_after_seconds: int | None = None) -> Response:
    """A page that says what happened and what to do; it asks no database who is signed in when parts are down.

    Where JSON is asked for: an object with `status` and `error`.
    """
    usual_title, advice = WORDS.get(status, WORDS[500 if status >= 500 else 400])
    if _wants_json():
        response = make_response(jsonify(status=status, error=message or title or usual_title), status)
    else:
        page = render_template(
            "error.html",
            status=status,
            title=title or usual_title,
            message=message or advice,
            wait=None if retry_after_seconds is None else minutes(retry_after_seconds),
            bare=status >= 500,
        )
        response = make_response(page, status)
    if retry_after_seconds is not None:
        response.headers["Retry-After"] = str(retry_after_seconds)
    return response


def _wants_json() -> bool:
    accepted = request.accept_mimetypes
    is_first = accepted.best_match(["text/html", "application/json"]) == "application/json"
    return is_first or request.path.endswith(".json")


@contextmanager
def errors_on(form: FlaskForm, *, names: tuple[str, ...] = ()) -> Iterator[None]:
    """Put a domain error about what was typed beside its field (or on top of the form) and go on after the block.

    Likewise where others write for so long that nothing could be begun: what was typed is kept.
    names: the fields in which one types what must be there and be in one's reach; then so are NotFound and Forbidden.
    """
    try:
        yield
    except (Invalid, Conflict) as error:
        add_error(form, error)
    except (NotFound, Forbidden) as error:
        if error.field not in names:
            raise
        add_error(form, error)
    except OperationalError as error:
        if not is_busy(error):
            raise
        _log_part(error)
        g.found_busy = True
        form.form_errors.append(BUSY_FAULT)


def add_error(form: FlaskForm, error: DomainError) -> None:
    """Show one domain error on a form."""
    if error.field and error.field in form:
        field = form[error.field]
        field.errors = [*field.errors, sentence(error.message)]
    else:
        form.form_errors.append(sentence(error.message))
