"""A signed-in browser for the benchmarks, with cookies and the tokens of forms."""

from __future__ import annotations

import re
from http.cookiejar import CookieJar
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

from bench.stack import OWNER
from tests.support.servers import RunningSite


def sign_in(site: RunningSite) -> OpenerDirector:
    """Return a browser that is signed in as the owner."""
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    url = f"{site.url}/sign-in"
    post(browser, url, token_of(browser, url), login=OWNER, password="benchmarks")
    return browser


def token_of(browser: OpenerDirector, url: str) -> str:
    """Return the token of a page's forms. All forms of the session accept it."""
    match = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', browser.open(url).read().decode())
    assert match, f"no form on {url}"
    return match[1]


def post(browser: OpenerDirector, url: str, token: str, **fields: str) -> None:
    """POST a form, and read the page that follows."""
    browser.open(url, urlencode({**fields, "csrf_token": token}).encode()).read()
