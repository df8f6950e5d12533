"""Rate limits of forms: signing in, registering, sending mail. Counted in Redis, or in the process while it is down."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, current_app, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import current_user
from limits import RateLimitItem, parse
from redis.exceptions import RedisClusterException, RedisError

from app.known_browsers import knows, login_key
from shared import validation
from shared.addresses import counted_address
from shared.models import User
from shared.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Allowance:
    """How many POST requests one view accepts per client address or account.

    Without the options below, requests are counted per client address.

    Attributes:
        amount: For example "10 per 15 minutes".
        field: Count per account, which this form field names.
        failures_only: Do not count requests that succeeded.
        per_user: Count per signed-in user.
        per_user_email: Count per email address of the signed-in user (other accounts may have the same address).
        per_account_and_address: Count per account and client address together. All browsers that have signed in to the
            account before share one count, wherever they are.
        exempts_known_browsers: Does not apply to browsers that have signed in to the account before.
    """

    endpoint: str
    amount: str
    field: str | None = None
    failures_only: bool = False
    per_user: bool = False
    per_user_email: bool = False
    per_account_and_address: bool = False
    exempts_known_browsers: bool = False
    message: str = ""

    def key(self) -> str:
        """Return the key under which this request is counted."""
        if self.per_user and current_user.is_authenticated:
            return f"user:{current_user.id}"
        if self.per_user_email and current_user.is_authenticated:
            return f"account:{validation.address_key(current_user.email)}"
        if self.field is None:
            return f"address:{visitor_address()}"
        login = request.form.get(self.field, "")
        account = f"account:{login_key(login)}"
        if self.per_account_and_address:
            return f"{account}:{'known' if knows(login) else visitor_address()}"
        return account

    def is_exempt(self) -> bool:
        """Return whether the limit does not apply to this request."""
        return self.exempts_known_browsers and knows(request.form.get(self.field or "", ""))


def has_failed(response: Response) -> bool:
    """Return whether a response counts as a failure. It does not if the site itself was too busy."""
    return 400 <= response.status_code < 500


SIGN_INS = "Too many failed attempts to sign in."
ALL_SIGN_INS = "Too many attempts to sign in from this address."
REGISTRATIONS = "Too many accounts were registered from this address."
MAILS = "Too many mails were requested."
RESETS = "Too many attempts to choose a new password."
REPORTS = "You have sent many reports in a short time. The moderators have received them."
REQUESTS = "You have requested many applications in a short time."
PROFILES = "Your profile was changed too often."
CHECKS = "Your ways to connect have been checked too often."
OFFERS = "You have offered games too often."
CHANGES = "The password was changed too often."
EXPORTS = "You have downloaded your data many times."
REDEMPTIONS = "Too many requests with a wrong client secret, code or token."
PASSWORDS = "Too many attempts with a wrong password."
ALLOWANCES = (
    # Right passwords take as long to check as wrong ones.
    Allowance("accounts.sign_in", "100 per 5 minutes", message=ALL_SIGN_INS),
    Allowance("accounts.sign_in", "30 per 5 minutes", failures_only=True, message=SIGN_INS),
    # Ten attempts per client address and account, and a higher limit per account over all addresses. The second one
    # stops distributed guessing, yet a few strangers cannot lock the owner out.
    Allowance(
        "accounts.sign_in",
        "10 per 15 minutes",
        field="login",
        failures_only=True,
        per_account_and_address=True,
        message=SIGN_INS,
    ),
    Allowance(
        "accounts.sign_in",
        "100 per 15 minutes",
        field="login",
        failures_only=True,
        exempts_known_browsers=True,
        message=SIGN_INS,
    ),
    Allowance("accounts.register", "60 per hour", message=REGISTRATIONS),
    Allowance("accounts.register", "10 per hour", field="email", message=REGISTRATIONS),
    Allowance("links.request_reset", "30 per hour", message=MAILS),
    Allowance("links.request_reset", "5 per hour", field="email", message=MAILS),
    Allowance("links.reset", "30 per 5 minutes", message=RESETS),
    Allowance("account.send_verification", "5 per hour", per_user_email=True, message=MAILS),
    Allowance("account.change_email", "20 per hour", per_user=True, message=MAILS),
    Allowance("account.change_email", "5 per hour", field="email", message=MAILS),
    Allowance("account.change_password", "10 per 15 minutes", per_user=True, failures_only=True, message=PASSWORDS),
    Allowance("reports.new", "30 per hour", per_user=True, message=REPORTS),
    Allowance("account.change_password", "30 per hour", per_user=True, message=CHANGES),
    Allowance("account.delete", "10 per 15 minutes", per_user=True, failures_only=True, message=PASSWORDS),
    Allowance("account.export", "20 per hour", per_user=True, message=EXPORTS),
    Allowance("manage.export", "20 per hour", per_user=True, message=EXPORTS),
    # Each change makes workers read the linked pages.
    Allowance("players.edit", "20 per hour", per_user=True, message=PROFILES),
    Allowance("applications.new", "10 per hour", per_user=True, message=REQUESTS),
    Allowance("connections.check", "10 per 10 minutes", per_user=True, message=CHECKS),
    Allowance("oauth_api.token", "120 per 5 minutes", failures_only=True, message=REDEMPTIONS),
    Allowance("oauth_api.revoke", "120 per 5 minutes", failures_only=True, message=REDEMPTIONS),
    Allowance("transfers.offer", "20 per hour", per_user=True, message=OFFERS),
)


@dataclass(frozen=True)
class Guesses:
    """Failed sign-ins by the account that the login means, however it is spelled: as username or as email address.

    The limits above count each spelling and tell the visitor. These must not: if they did, anyone could find out which
    username an email address belongs to. Instead, the right password fails like a wrong one.
    """

    limiter: Limiter

    PER_PLACE = parse("10 per 15 minutes")
    PER_ACCOUNT = parse("100 per 15 minutes")

    def are_allowed(self, user: User) -> bool:
        """Return whether this visitor may try another password of the account."""
        return all(self.limiter.limiter.test(limit, *key) for limit, key in self._limits(user))

    def count(self, user: User) -> None:
        """Count a wrong password."""
        for limit, key in self._limits(user):
            self.limiter.limiter.hit(limit, *key)

    def _limits(self, user: User) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
        key = ("site-guesses", str(user.id))
        if knows(user.username):
            return [(self.PER_PLACE, (*key, "known"))]
        return [(self.PER_PLACE, (*key, visitor_address())), (self.PER_ACCOUNT, key)]


def guesses() -> Guesses | None:
    """Return the counts of failed sign-ins by account; None if RATE_LIMITS is off."""
    return current_app.extensions.get("guesses")


def visitor_address() -> str:
    """Return the client address, with IPv6 addresses cut to their network."""
    return counted_address(get_remote_address())


def init_app(app: Flask, settings: Settings) -> None:
    """Apply the limits to their views, unless RATE_LIMITS is off."""
    if not settings.rate_limits:
        return
    limiter = _make_limiter(app, settings.redis_url)
    app.extensions["guesses"] = Guesses(limiter)
    for allowance in ALLOWANCES:
        limit = limiter.limit(
            allowance.amount,
            key_func=allowance.key,
            methods=["POST"],
            exempt_when=allowance.is_exempt,
            deduct_when=has_failed if allowance.failures_only else None,
            error_message=allowance.message,
        )
        limited: Any = limit(app.view_functions[allowance.endpoint])
        app.view_functions[allowance.endpoint] = limited


def seconds_to_wait(app: Flask) -> int | None:
    """Return the seconds until the exceeded limit accepts a request again; None if no limit was exceeded."""
    breached = [
        limit.reset_at
        for limiter in app.extensions.get("limiter", ())
        for limit in limiter.current_limits
        if limit.breached
    ]
    # reset_at is already rounded up.
    return max(1, int(max(breached) - time.time())) if breached else None


def _make_limiter(app: Flask, redis_url: str) -> Limiter:
    options: dict[str, Any] = {"socket_timeout": 1, "socket_connect_timeout": 1}
    if redis_url.startswith("rediss+cluster://"):
        options["ssl"] = True
    try:
        return _limiter(app, _storage_uri(redis_url), **options)
    except (RedisError, RedisClusterException) as error:
        # The library connects to a cluster at once. The site must start without it.
        log.warning("redis is down, so requests are counted in this process until it starts again: %s", error)
        return _limiter(app, "memory://")


def _limiter(app: Flask, storage_uri: str, **options: Any) -> Limiter:
    return Limiter(
        visitor_address,
        app=app,
        strategy="moving-window",
        storage_uri=storage_uri,
        storage_options=options,
        in_memory_fallback_enabled=True,
        key_prefix="site",
    )


def _storage_uri(redis_url: str) -> str:
    """Return the Redis URL in the form that the limits library expects."""
    if redis_url.startswith("unix://"):
        return "redis+" + redis_url
    return redis_url.replace("rediss+cluster://", "redis+cluster://", 1)
