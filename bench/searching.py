"""Measure how long searches take in a long history: the chat's and the moderators', through the site's real pages.

    python -m bench.searching [--lines 1000000] [--rounds 5] [--database postgresql://…]

Half of the lines are on one channel, the others are spread over 49. Prints one JSON object for the time that storing
and indexing took, and one for each page: `median_ms` and `max_ms` of the rounds, and `ratio`, the median compared with
the chat's page without a search.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlencode

from sqlalchemy import text

from bench.browsing import sign_in
from bench.machine import quantile
from bench.stack import OWNER, Stack
from shared import db, peer_keys
from shared.db import utc_now
from shared.services import channels, history, text_search
from shared.services.authority.actors import OPERATOR
from shared.services.history import Line
from shared.settings import Settings
from tests.support.servers import RunningSite

CHANNELS = 50
BATCH = 10_000
WORDS = [
    f"{first}{second}" for first in ("lan", "mor", "tes", "vil", "kor") for second in ("a", "ed", "ing", "or", "um")
]
COMMON, ELSEWHERE, RARE, MISSING = "lantern", "harbour", "quicksilver", "nowhere"


def make_lines(count: int, channel_ids: list[int]) -> Iterator[Line]:
    """Return lines of twelve words by 400 players.

    COMMON is in a tenth of them, ELSEWHERE in another tenth but in none of the first channel, RARE in one of 100,000.
    """
    choices = random.Random(16)
    start = utc_now() - timedelta(seconds=count)
    for number in range(count):
        words = choices.choices(WORDS, k=12)
        if choices.random() < 0.1:
            words[3] = COMMON
        if number % 5 == 0 and number % 2 == 0:
            words[4] = ELSEWHERE
        if number % 100_000 == 50_000:
            words[5] = RARE
        channel = channel_ids[0] if number % 2 else choices.choice(channel_ids[1:])
        player = f"Player{choices.randrange(400)}"
        game = choices.randrange(20)
        sent_at = start + timedelta(seconds=number)
        yield Line(channel, peer_keys.of_game(game), f"Game{game}", player, " ".join(words), sent_at)


def store(count: int, channel_ids: list[int]) -> dict[str, float]:
    """Store and index the lines. Return how many seconds each took."""
    started = time.perf_counter()
    lines = make_lines(count, channel_ids)
    while batch := list(itertools.islice(lines, BATCH)):
        with db.transaction() as session:
            history.store_lines(session, batch, worker="bench")
    stored = time.perf_counter()
    indexed = True
    while indexed:
        with db.transaction() as session:
            indexed = bool(text_search.index_batch(session, limit=BATCH))
    ended = time.perf_counter()
    with db.transaction() as session:
        session.execute(text("ANALYZE"))  # servers do so by themselves within minutes
    return {"store_s": round(stored - started, 1), "index_s": round(ended - stored, 1)}


def pages(busy: str, quiet: str) -> dict[str, str]:
    """Return the address of each page that is measured, by what it shows."""
    month_ago = (utc_now() - timedelta(days=5)).date().isoformat()

    def chat(channel: str, **query: str) -> str:
        return f"/chat/{channel}?{urlencode(query)}"

    def moderation(**query: str) -> str:
        return f"/moderation/messages?{urlencode(query)}"

    return {
        "chat without a search": f"/chat/{busy}",
        "chat: a common word": chat(busy, q=COMMON),
        "chat: a word that is common elsewhere": chat(busy, q=ELSEWHERE),
        "chat: a rare word": chat(busy, q=RARE),
        "chat: no match": chat(busy, q=MISSING),
        "chat: two words": chat(busy, q=f"{COMMON} {RARE}"),
        "chat: a common word of a player": chat(busy, q=COMMON, **{"from": "Player7@Game7"}),
        "chat: a player, before a day": chat(busy, until=month_ago, **{"from": "Player7"}),
        "chat: a common word on a quiet channel": chat(quiet, q=COMMON),
        "moderation: all lines": moderation(),
        "moderation: a common word": moderation(text=COMMON),
        "moderation: a rare word": moderation(text=RARE),
        "moderation: no match": moderation(text=MISSING),
        "moderation: a player": moderation(player="Player7"),
    }


def main() -> None:
    """Print one JSON object for each page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    with Stack(options.database) as stack:
        names = [f"room_{'abcde'[tens]}{letter}" for tens in range(CHANNELS // 10) for letter in "abcdefghij"]
        stack.flask("user", "set-role", OWNER, "moderator")
        engine = db.make_engine(Settings.from_environment(stack.environment).database_url)
        db.bind(engine)
        try:
            with db.transaction() as session:
                for name in names:
                    channels.create_channel(session, OPERATOR, name=name)
            print("storing lines", file=sys.stderr)
            print(json.dumps(store(options.lines, list(range(1, CHANNELS + 1)))), flush=True)
        finally:
            engine.dispose()
        measure(stack, pages(names[0], names[1]), options.rounds)


def measure(stack: Stack, addresses: dict[str, str], rounds: int) -> None:
    """Request the pages in turns, and print what they took."""
    site = RunningSite(stack.settings)
    site.wait_until_ready()
    browser = sign_in(site)
    times: dict[str, list[float]] = {name: [] for name in addresses}
    try:
        for _ in range(rounds + 1):  # the first round warms the caches
            for name, address in addresses.items():
                started = time.perf_counter()
                browser.open(site.url + address).read()
                times[name].append((time.perf_counter() - started) * 1000)
    finally:
        site.stop()
    medians = {name: quantile(values[1:], 0.5) for name, values in times.items()}
    base = medians[next(iter(addresses))]
    for name, values in times.items():
        figures = {"median_ms": round(medians[name], 1), "max_ms": round(max(values[1:]), 1)}
        print(json.dumps({"page": name, **figures, "ratio": round(medians[name] / base, 2)}), flush=True)


if __name__ == "__main__":
    main()
