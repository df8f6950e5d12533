"""People with a browser: owners who edit their games, and a moderator who mutes players. They use the site's forms."""

from __future__ import annotations

import asyncio
import http.client
import http.cookiejar
import itertools
import random
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import NamedTuple

from tests.faults.peer import now
from tests.faults.recording import Edit, Mute, Recording

ANSWER_SECONDS = 20.0
_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class Answer(NamedTuple):
    """A response; status 0 if none came."""

    status: int
    location: str
    body: str


class _KeepRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: object) -> None:
        return None


class Browser:
    """Keeps cookies and sends forms, to one of several sites at random."""

    def __init__(self, sites: list[str], username: str, password: str, seed: int) -> None:
        self._random = random.Random(seed)
        self._sites = sites
        self._login = {"login": username, "password": password}
        self._cookies = http.cookiejar.CookieJar()
        processor = urllib.request.HTTPCookieProcessor(self._cookies)
        self._opener = urllib.request.build_opener(processor, _KeepRedirects, urllib.request.ProxyHandler({}))
        self._is_signed_in = False

    async def send(self, path: str, form_path: str = "", **fields: str) -> Answer:
        """Open a page with a form, fill it in, and send it to `path`. Signs in first if necessary."""
        if not self._is_signed_in:
            answer = await self._submit("/sign-in", "/sign-in", self._login)
            if answer.status != 303:
                return answer._replace(status=0)  # nothing has been sent yet
            self._is_signed_in = True
        return await self._submit(path, form_path or path, fields)

    async def _submit(self, path: str, form_path: str, fields: dict[str, str]) -> Answer:
        page = await self._open(form_path)
        token = _TOKEN.search(page.body)
        if token is None:
            self._is_signed_in = self._is_signed_in and page.status not in (302, 303)
            return Answer(0, "", page.body)
        return await self._open(path, {**fields, "csrf_token": token[1]})

    async def _open(self, path: str, fields: dict[str, str] | None = None) -> Answer:
        return await asyncio.to_thread(self._request, self._random.choice(self._sites) + path, fields)

    def _request(self, url: str, fields: dict[str, str] | None) -> Answer:
        body = None if fields is None else urllib.parse.urlencode(fields).encode()
        try:
            with self._opener.open(url, body, timeout=ANSWER_SECONDS) as response:
                return Answer(response.status, "", response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers.get("Location", ""), "")
        except (OSError, http.client.HTTPException):
            return Answer(0, "", "")


async def edit_games(browser: Browser, games: list[str], recording: Recording, seed: int) -> None:
    """Edit the descriptions of an owner's games, until cancelled."""
    choices = random.Random(seed)
    for number in itertools.count(1):
        await asyncio.sleep(choices.uniform(0.5, 2))
        edit = Edit(choices.choice(games), number)
        recording.edits.append(edit)
        details = {"name": f"The {edit.game}", "short_name": edit.game, "description": f"edit {number}", "display": "y"}
        answer = await browser.send(f"/manage/games/{edit.game}/edit", **details)
        edit.is_committed = True if answer.status == 303 else None if answer.status in (0, 500, 502, 504) else False


async def mute_players(
    browser: Browser, games: list[str], players: tuple[str, ...], recording: Recording, seed: int
) -> None:
    """Mute a player for a few seconds, one after the other, until cancelled."""
    choices = random.Random(seed)
    while True:
        await asyncio.sleep(choices.uniform(1, 4))
        game, player = choices.choice(games), choices.choice(players)
        fields = {"target_kind": "player", "kind": "mute", "seconds": "3600", "channel": "", "reason": "a fault run"}
        answer = await browser.send("/moderation/sanctions/new", target=f"{player}@{game}", **fields)
        if answer.status != 303:
            continue
        mute = Mute(game, player, now())
        recording.mutes.append(mute)
        await asyncio.sleep(choices.uniform(8, 15))
        mute.lifted_at = now()
        while (await browser.send(f"{answer.location}/lift", answer.location, reason="over")).status not in (303, 422):
            await asyncio.sleep(1)
