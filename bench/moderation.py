"""Measure how soon a mute takes effect at another worker, and what sanctions and filters cost the throughput of chat.

    python -m bench.moderation [--mutes 100] [--seconds 4] [--rounds 3] [--database postgresql://…]

Prints one JSON object for the delay and one for each load.

Delay, in milliseconds: a player on the second of two workers sends messages without pause. The delay ends when the
first refusal arrives. `from_commit` starts with the commit of a mute through the service, `from_click` when a
moderator's browser sends the form to the real site. Both contain up to two `message_round_trip`, the time of a message
that is not refused. `answer_to_click` is the time until the site's own answer.

Cost: the throughput of one worker with sanctions and filters in force that no line matches. `ratio` and `cpu_ratio`
compare it with no sanctions and no filters. The loads take turns, so that other work on the machine affects all
of them alike.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from typing import Any

import websocket
from sqlalchemy import event, insert, select
from sqlalchemy.orm import Session

from bench.browsing import post, sign_in, token_of
from bench.load import GOSSIP, fanbench, write_credentials
from bench.machine import SERVER_CORE, compile_c, quantile
from bench.stack import OWNER, Stack
from shared import db
from shared.bus import Bus, publish_after_commit
from shared.db import utc_now
from shared.models import Filter, Sanction
from shared.services.authority import changes
from shared.services.authority.actors import OPERATOR
from shared.services.authority.changes import Part
from shared.services.moderation import sanctions
from shared.settings import Settings
from tests.support.servers import RunningSite

LOADS = ((0, 0), (100, 0), (5_000, 0), (0, 200), (5_000, 200))  # sanctions, filters


class Player:
    """Sends messages without pause, and notes when it is refused and when it is no longer refused."""

    def __init__(self, url: str, credentials: dict[str, str]) -> None:
        self.refused = threading.Event()
        self.accepted = threading.Event()
        self.refused_at = 0.0
        self.round_trips: list[float] = []
        self._socket = websocket.create_connection(url, skip_utf8_validation=True)
        keys = {name: credentials[name] for name in ("client_id", "client_secret")}
        self._send("authenticate", **keys, supports=["channels"], channels=["bench"])
        while '"authenticate"' not in str(self._socket.recv()):
            pass
        threading.Thread(target=self._talk, daemon=True).start()

    def _send(self, name: str, /, **payload: object) -> None:
        self._socket.send(json.dumps({"event": name, "ref": "1", "payload": payload}))

    def _talk(self) -> None:
        while True:
            start = time.perf_counter()
            self._send("channels/send", channel="bench", name="Alice", message="x" * 150)
            frame = ""
            while '"channels/send"' not in frame:
                if frame == '{"event":"heartbeat"}':
                    self._send("heartbeat")
                try:
                    frame = str(self._socket.recv())
                except websocket.WebSocketConnectionClosedException:
                    return  # the worker is stopped
            if '"failure"' in frame:
                if not self.refused.is_set():
                    self.refused_at = time.perf_counter()
                    self.refused.set()
            else:
                self.round_trips.append((time.perf_counter() - start) * 1000)
                self.accepted.set()


def measure_delay(stack: Stack, mutes: int) -> dict[str, Any]:
    """Mute and lift repeatedly, through the service and by a click in turns."""
    stack.flask("user", "set-role", OWNER, "moderator")
    site = RunningSite(stack.settings)
    site.wait_until_ready()
    browser = sign_in(site)
    form = f"{site.url}/moderation/sanctions/new"
    token = token_of(browser, form)
    stack.worker()
    second = stack.worker()
    [credentials] = stack.games(1, "mute")
    player = Player(second.url, credentials)
    committed_at = 0.0

    def note(session: Session) -> None:
        nonlocal committed_at
        committed_at = time.perf_counter()

    event.listen(Session, "after_commit", note, insert=True)
    mute: dict[str, Any] = {
        "kind": "mute",
        "target_kind": "player",
        "target": f"Alice@{credentials['short_name']}",
        "reason": "bench",
    }
    delays: dict[str, list[float]] = {"from_commit": [], "from_click": []}
    answers = []

    def wait_until_accepted() -> None:
        player.accepted.clear()
        assert player.accepted.wait(10), "the player cannot speak again"
        player.refused.clear()

    def note_refusal(kind: str, since: float) -> None:
        assert player.refused.wait(10), "the mute has no effect"
        delays[kind].append((player.refused_at - since) * 1000)
        with db.transaction() as session:
            for sanction in session.scalars(select(Sanction).where(Sanction.lifted_at.is_(None))).all():
                sanctions.lift(session, OPERATOR, sanction_id=sanction.id, reason="bench")

    try:
        for _ in range(mutes):
            wait_until_accepted()
            with db.transaction() as session:
                sanctions.sanction(session, OPERATOR, **mute)
            note_refusal("from_commit", committed_at)
            wait_until_accepted()
            clicked_at = time.perf_counter()
            post(browser, form, token, seconds="", channel="", **mute)
            answers.append((time.perf_counter() - clicked_at) * 1000)
            note_refusal("from_click", clicked_at)
    finally:
        event.remove(Session, "after_commit", note)
        site.stop()
    return {
        "mutes": mutes,
        **{kind: _spread(values) for kind, values in delays.items()},
        "message_round_trip": _spread(player.round_trips),
        "answer_to_click": _spread(answers),
    }


def _spread(milliseconds: list[float]) -> dict[str, float]:
    return {
        "median_ms": round(quantile(milliseconds, 0.5), 2),
        "p90_ms": round(quantile(milliseconds, 0.9), 2),
        "max_ms": round(max(milliseconds), 2),
    }


def put_in_force(sanction_count: int, filter_count: int) -> None:
    """Replace all sanctions and filters with this many that do not match the load."""
    with db.transaction() as session:
        session.query(Sanction).delete()
        session.query(Filter).delete()
        common = {"actor_kind": "system", "actor_name": "bench", "actor_role": "operator", "reason": "bench"}
        rows: list[dict[str, Any]] = []
        for number in range(sanction_count):
            row: dict[str, Any] = {"kind": "mute", "created_at": utc_now(), "is_undone": False, **common}
            if number % 4 == 0:
                address = f"10.{number // 250}.{number % 250}.0/24"
                row |= {"target_kind": "address", "target": address, "address": address}
            elif number % 4 == 1:
                row |= {"target_kind": "user", "target": f"u{number}", "user_id": 1_000_000 + number}
            else:
                row |= {"target_kind": "player", "target": f"p{number}@x", "peer": "game:1", "player_key": f"p{number}"}
            rows.append({"peer": None, "player_key": None, "user_id": None, "address": None, **row})
        if rows:
            session.execute(insert(Sanction), rows)
        for number in range(filter_count):
            is_word = number % 2 == 0
            session.add(
                Filter(
                    kind="word" if is_word else "pattern",
                    text=f"unlikely{number}" if is_word else rf"un[l1]ike+ly\s+{number}(?:st|nd|th)?",
                    action=("flag", "mask", "refuse")[number % 3],
                    is_on=True,
                    created_by="bench",
                )
            )
        changes.mark(session, Part.SANCTIONS)
        changes.mark(session, Part.FILTERS)


def measure_cost(stack: Stack, rounds: int, seconds: int) -> list[dict[str, Any]]:
    """Return the throughput with each load, the median of the rounds."""
    receivers, senders = 20, 4
    credentials = write_credentials(stack.folder / "credentials.jsonl", stack.games(receivers + senders, "cost"))
    worker = stack.worker(cpu=SERVER_CORE)
    program = compile_c("fanbench", stack.folder)
    load = ["--mode", "saturate", "--receivers", str(receivers), "--senders", str(senders), "--window", "64"]
    load += ["--duration", str(seconds)]
    figures: dict[tuple[int, int], list[tuple[float, float]]] = {counts: [] for counts in LOADS}
    for _ in range(rounds):
        for counts in LOADS:
            put_in_force(*counts)
            time.sleep(0.5)  # until the worker has read them
            result = fanbench(program, worker.port, stack.pids, *GOSSIP, "--creds", str(credentials), *load)
            messages_per_s = result["deliveries_per_s"] / receivers
            figures[counts].append((messages_per_s, result["server_cpu_s_per_million"] * receivers))
    base = quantile([rate for rate, _ in figures[LOADS[0]]], 0.5)
    base_cpu = quantile([cpu for _, cpu in figures[LOADS[0]]], 0.5)
    results = []
    for (sanction_count, filter_count), pairs in figures.items():
        rate, cpu = quantile([rate for rate, _ in pairs], 0.5), quantile([cpu for _, cpu in pairs], 0.5)
        results.append(
            {
                "sanctions": sanction_count,
                "filters": filter_count,
                "messages_per_s": round(rate),
                "ratio": round(rate / base, 3),
                "cpu_s_per_million": round(cpu, 1),
                "cpu_ratio": round(cpu / base_cpu, 3),
            }
        )
    return results


def main() -> None:
    """Print one JSON object for the delay and one for each load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutes", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    for measure in ("delay", "cost"):
        with Stack(options.database) as stack:
            stack.flask("channel", "create", "bench")
            settings = Settings.from_environment(stack.environment)
            engine = db.make_engine(settings.database_url)
            db.bind(engine)
            publish_after_commit(Bus(settings.redis_url))
            try:
                if measure == "delay":
                    print(json.dumps({"delay": measure_delay(stack, options.mutes)}), flush=True)
                else:
                    for line in measure_cost(stack, options.rounds, options.seconds):
                        print(json.dumps(line), flush=True)
            finally:
                publish_after_commit(None)
                engine.dispose()


if __name__ == "__main__":
    main()
