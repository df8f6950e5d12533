"""How often one may try to sign in, register, be sent a mail. Counted in Redis; in this process while it is away."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import current_user

from app.known_browsers import knows, login_key
from shared.addresses import counted_address
from shared.services import validation
from shared.settings import Settings


@dataclass(frozen=True)
class Allowance:
    """So many POSTs of one page for each address or account.

    field: the form field that names the account; None counts by address. is_own: counts by who is signed in.
    is_own_email: by the email of who is signed in, which others may have given too. failures_only: what succeeded is
    not counted. is_of_strangers: counts by account and address together, and a browser that signed in to the account
    before by itself, wherever it is. spares_known: does not hold for such a browser.
    """

    endpoint: str
    amount: str
    field: str | None = None
    failures_only: bool = False
    is_own: bool = False
    is_own_email: bool = False
    is_of_strangers: bool = False
    spares_known: bool = False
    message: str = ""

    def key(self) -> str:
        """Whose count this request goes to."""
        if self.is_own and current_user.is_authenticated:
            return f"user:{current_user.id}"
        if self.is_own_email and current_user.is_authenticated:
            return f"account:{validation.address_key(current_user.email)}"
        if self.field is None:
            return f"address:{visitor_address()}"
        login = request.form.get(self.field, "")
        account = f"account:{login_key(login)}"  # another spelling is no other account
        if self.is_of_strangers:
            return f"{account}:{'known' if knows(login) else visitor_address()}"
        return account

    def is_spared(self) -> bool:
        """Whether the limit does not hold for this request."""
        return self.spares_known and knows(request.form.get(self.field or "", ""))


def has_failed(response: Response) -> bool:
    """True when the answered request is one to be counted, where only failures are."""
    return response.status_code >= 400


SIGN_INS = "There were too many attempts to sign in that failed."
REGISTRATIONS = "Too many accounts were registered from here."
MAILS = "Too many mails were asked for."
RESETS = "There were too many attempts to choose a new password."
REPORTS = "You reported a lot in a short time: what you sent so far is with the moderators."
CHECKS = "Your ways to connect were tried often enough for now."
OFFERS = "Games were offered too often."
PASSWORDS = "There were too many attempts with a wrong password."
ALLOWANCES = (
    Allowance("accounts.sign_in", "30 per 5 minutes", failures_only=True, message=SIGN_INS),
    # Ten for each who tries; and for the account in all so many that nobody guesses, and few can lock its person out.
    Allowance(
        "accounts.sign_in",
        "10 per 15 minutes",
        field="login",
        failures_only=True,
        is_of_strangers=True,
        message=SIGN_INS,
    ),
    Allowance(
        "accounts.sign_in",
        "100 per 15 minutes",
        field="login",
        failures_only=True,
        spares_known=True,
        message=SIGN_INS,
    ),
    Allowance("accounts.register", "60 per hour", message=REGISTRATIONS),
    Allowance("accounts.register", "10 per hour", field="email", message=REGISTRATIONS),
    Allowance("links.request_reset", "30 per hour", message=MAILS),
    Allowance("links.request_reset", "5 per hour", field="email", message=MAILS),
    Allowance("links.reset", "30 per 5 minutes", message=RESETS),
    Allowance("account.send_verification", "5 per hour", is_own_email=True, message=MAILS),
    Allowance("account.change_email", "20 per hour", is_own=True, message=MAILS),
    Allowance("account.change_email", "5 per hour", field="email", message=MAILS),
    Allowance("account.change_password", "10 per 15 minutes", is_own=True, failures_only=True, message=PASSWORDS),
    Allowance("reports.new", "30 per hour", is_own=True, message=REPORTS),
    Allowance("account.delete", "10 per 15 minutes", is_own=True, failures_only=True, message=PASSWORDS),
    Allowance("connections.check", "10 per 10 minutes", is_own=True, message=CHECKS),
    Allowance("transfers.offer", "20 per hour", is_own=True, message=OFFERS),
)


def visitor_address() -> str:
    """Where the request came from, as it is counted."""
    return counted_address(get_remote_address())


def init_app(app: Flask, settings: Settings) -> None:
    """Put the limits on their pages, unless RATE_LIMITS is off."""
    if not settings.rate_limits:
        return
    limiter = Limiter(
        visitor_address,
        app=app,
        strategy="moving-window",
        storage_uri=_storage_uri(settings.redis_url),
        storage_options={"socket_timeout": 1, "socket_connect_timeout": 1},
        in_memory_fallback_enabled=True,
        key_prefix="site",
    )
    for allowance in ALLOWANCES:
        limit = limiter.limit(
            allowance.amount,
            key_func=allowance.key,
            methods=["POST"],
            exempt_when=allowance.is_spared,
            deduct_when=has_failed if allowance.failures_only else None,
            error_message=allowance.message,
        )
        limited: Any = limit(app.view_functions[allowance.endpoint])
        app.view_functions[allowance.endpoint] = limited


def seconds_to_wait(app: Flask) -> int | None:
    """How long until the limit that this request broke lets one through again; None when it broke none."""
    breached = [
        limit.reset_at
        for limiter in app.extensions.get("limiter", ())
        for limit in limiter.current_limits
        if limit.breached
    ]
    # reset_at is rounded up already
    return max(1, int(max(breached) - time.time())) if breached else None


def _storage_uri(redis_url: str) -> str:
    """The same server in the words of the limits library."""
    return "redis+" + redis_url if redis_url.startswith("unix://") else redis_url
