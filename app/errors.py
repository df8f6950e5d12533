"""Error pages. One table maps domain errors to HTTP statuses, another maps statuses to text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, Response, current_app, g, jsonify, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_limiter import RateLimitExceeded
from flask_wtf import FlaskForm
from flask_wtf.csrf import CSRFError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, NotSupportedError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from app.forms import sentence
from app.limits import seconds_to_wait
from app.occasional_log import log_failure
from app.trailing_slashes import redirect_for
from shared.db import find_write_fault, is_busy, is_unavailable
from shared.errors import Busy, Conflict, DomainError, Forbidden, Invalid, NotFound, TooMany, Unavailable

STATUSES: dict[type[DomainError], int] = {
    NotFound: 404,
    Forbidden: 403,
    Invalid: 422,
    Conflict: 409,
    Unavailable: 503,
    TooMany: 429,
}

TEXTS: dict[int, tuple[str, str]] = {
    400: ("Bad request", "The address or the form was damaged on the way. Go back, reload the page and try again."),
    403: ("You are not allowed to do that", "Your account does not have permission to see or change this."),
    404: (
        "Page not found",
        "The page was moved or deleted, or you do not have access to it. Check the address for typos.",
    ),
    405: ("This address only accepts forms", "It cannot be opened directly. Go back and use the buttons on the page."),
    409: (
        "Conflict with another record",
        "Another record already uses this value. Go back and choose a different one.",
    ),
    413: ("Too much text", "A form can hold at most 256 KiB. Go back and shorten your text."),
    415: ("Not a form", "The site only accepts forms as browsers send them, without files."),
    422: ("The form has an error", "Go back and correct your input."),
    429: ("Too many attempts", "To protect accounts, you have to wait before you try again."),
    500: ("Something went wrong on our side", "The error has been logged. Trying again in a minute may help."),
    503: ("The database is not available right now", "Nothing was lost. Please try again in a moment."),
}
"""The title of each status's page, and what the reader can do."""
BUSY_TEXT = (
    "The site is very busy right now",
    "Other changes were being saved for too long. Nothing was changed: go back and send the form again in a moment.",
)
BUSY_FORM_ERROR = "The site is very busy right now. Nothing was saved: please send the form again in a moment."
BUSY_SECONDS = 5
UNWRITABLE_TEXT = (
    "Nothing can be saved right now",
    "The database can be read, but not changed. Nothing was changed: go back and send the form again later.",
)
UNWRITABLE_FORM_ERROR = "Nothing can be saved right now. Please keep this page open and send the form again later."
UNWRITABLE_SECONDS = 60
CSRF_TEXT = (
    "This form could not be verified",
    "Its security token was missing or expired, so nothing was changed. This happens if cookies are disabled, if you "
    "signed in or out in another tab, or if another site sent the form. Go back, reload the page and send it again.",
)


def init_app(app: Flask) -> None:
    """Answer every kind of error with a page of the site."""

    @app.errorhandler(DomainError)
    def domain_error(error: DomainError) -> ResponseReturnValue:
        status = status_of(error)
        return error_page(status, message=sentence(error.message), retry_after_seconds=_seconds_to_wait(error))

    @app.errorhandler(CSRFError)
    def csrf_error(error: CSRFError) -> ResponseReturnValue:
        title, advice = CSRF_TEXT
        return error_page(400, title=title, message=advice)

    @app.errorhandler(RateLimitExceeded)
    def rate_limited(error: RateLimitExceeded) -> ResponseReturnValue:
        return error_page(429, message=error.description or "", retry_after_seconds=seconds_to_wait(app))

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> ResponseReturnValue:
        status = error.code or 500
        if status < 400 and error.response is not None:
            return error.response
        without_slash = redirect_for(error)
        if without_slash is not None:
            return without_slash
        response = error_page(status)
        for name, value in error.get_headers():
            if name.lower() in ("allow", "retry-after"):
                response.headers[name] = value
        return response

    @app.errorhandler(OperationalError)
    @app.errorhandler(InterfaceError)
    @app.errorhandler(InternalError)
    @app.errorhandler(NotSupportedError)
    @app.errorhandler(PoolTimeout)
    @app.errorhandler(RedisError)
    def dependency_failed(error: Exception) -> ResponseReturnValue:
        is_unwritable = isinstance(error, DBAPIError) and find_write_fault(error) is not None
        if isinstance(error, InternalError | NotSupportedError) and not is_unavailable(error):
            raise error
        _log_failure(error)
        if is_unwritable:
            title, advice = UNWRITABLE_TEXT
            return error_page(503, title=title, message=advice, retry_after_seconds=UNWRITABLE_SECONDS)
        if isinstance(error, OperationalError) and is_busy(error):
            title, advice = BUSY_TEXT
            return error_page(503, title=title, message=advice, retry_after_seconds=BUSY_SECONDS)
        return error_page(503, retry_after_seconds=30)

    @app.after_request
    def mark_busy(response: Response) -> Response:
        """Answer 503 if a form is shown again only because it could not be saved now."""
        if "retry_seconds" in g:
            response.status_code = 503
            response.headers["Retry-After"] = str(g.retry_seconds)
        return response


def _seconds_to_wait(error: DomainError) -> int | None:
    milliseconds = error.details.get("retry_after_ms")
    return -(-milliseconds // 1000) if isinstance(milliseconds, int) else None


def _log_failure(error: Exception) -> None:
    log_failure(current_app, "database or redis failed", error, endpoint=request.endpoint)


def limited_form(error: RateLimitExceeded, form: FlaskForm, template: str) -> Response:
    """Return the form with what was typed and an error that says when to try again."""
    seconds = seconds_to_wait(current_app) or 60
    form.form_errors.append(f"{error.description} Try again in {minutes(seconds)}.")
    response = make_response(render_template(template, form=form), 429)
    response.headers["Retry-After"] = str(seconds)
    return response


def minutes(seconds: int) -> str:
    """Return a waiting time in words, rounded up to minutes."""
    count = max(1, -(-seconds // 60))
    return "a minute" if count == 1 else f"{count} minutes"


def status_of(error: DomainError) -> int:
    """Return the HTTP status for a domain error."""
    return next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 422)


def error_page(status: int, *, title: str = "", message: str = "", retry_after_seconds: int | None = None) -> Response:
    """Return a page that says what happened and what to do, or a JSON object with `status` and `error`.

    From status 500 on, the page does not look up who is signed in, because the database may be down.
    """
    usual_title, advice = TEXTS.get(status, TEXTS[500 if status >= 500 else 400])
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
    prefers_json = accepted.best_match(["text/html", "application/json"]) == "application/json"
    return prefers_json or request.path.endswith(".json")


@contextmanager
def errors_on(form: FlaskForm, *, names: tuple[str, ...] = ()) -> Iterator[None]:
    """Catch Invalid and Conflict and show them on the form. Execution continues after the block.

    Busy, and a database that is busy or cannot be written to, are shown on the form too, so that the typed values are
    not lost.

    Args:
        form: The form that was sent.
        names: Fields that name another record. NotFound and Forbidden about these are shown on the form as well.
    """
    try:
        yield
    except (Invalid, Conflict) as error:
        add_error(form, error)
    except (NotFound, Forbidden) as error:
        if error.field not in names:
            raise
        add_error(form, error)
    except Busy as error:
        g.retry_seconds = _seconds_to_wait(error) or BUSY_SECONDS
        add_error(form, error)
    except DBAPIError as error:
        if find_write_fault(error) is not None:
            g.retry_seconds = UNWRITABLE_SECONDS
            form.form_errors.append(UNWRITABLE_FORM_ERROR)
        elif isinstance(error, OperationalError) and is_busy(error):
            g.retry_seconds = BUSY_SECONDS
            form.form_errors.append(BUSY_FORM_ERROR)
        else:
            raise
        _log_failure(error)


def add_error(form: FlaskForm, error: DomainError) -> None:
    """Show a domain error beside its field, or at the top of the form if it has none."""
    if error.field and error.field in form:
        field = form[error.field]
        field.errors = [*field.errors, sentence(error.message)]
    else:
        form.form_errors.append(sentence(error.message))
