"""One fault run: start the network and its clients, let faults happen, settle, and check."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.checker import check
from tests.faults.faults import Faults
from tests.faults.figures import Figures
from tests.faults.games import CHANNELS, FLAGS, PLAYERS, Game
from tests.faults.network import PASSWORD, Network, Program, mirror_command, mirror_environment
from tests.faults.peer import Credentials, Peer
from tests.faults.people import Browser, edit_games, mute_players
from tests.faults.recording import SUCCESS, Copy, Received, Recording
from tests.faults.replicas import Application
from tests.support.processes import ROOT, ServerProcess
from tests.support.replica import digest

GAMES = 20
REPLICAS = 3
OWNERS = 4
GHOSTS = 3


@dataclass(frozen=True)
class Form:
    """How long a run is and how hard.

    Attributes:
        seconds: How long faults happen; 0: each fault once.
        fault_seconds, pause_seconds: How long a fault and the pause after it last, at least and at most.
        settle_seconds: How long after the last fault everything may take to be right.
        delivery_seconds: How long a line may take to arrive.
    """

    seconds: float
    fault_seconds: tuple[float, float]
    pause_seconds: tuple[float, float]
    settle_seconds: float
    delivery_seconds: float
    heartbeat_seconds: float = 15.0
    lines_per_second: float = 1.0
    settings: dict[str, str] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)


def full_form(minutes: float) -> Form:
    """Return the form with the settings of a real network."""
    return Form(
        seconds=minutes * 60,
        fault_seconds=(2, 20),
        pause_seconds=(1, 8),
        settle_seconds=65,
        delivery_seconds=60,
    )


SHORT_FORM = Form(
    seconds=0,
    fault_seconds=(0.5, 2),
    pause_seconds=(0.1, 0.5),
    settle_seconds=12,
    delivery_seconds=12,
    heartbeat_seconds=3,
    settings={"HEARTBEAT_SECONDS": "3", "PRESENCE_SECONDS": "9", "OFFLINE_SECONDS": "10"},
    constants={"worker.chat.catch_up.CHECK_SECONDS": 3},
)
"""Each fault once, with quicker heartbeats, presence and checks of the history."""


@dataclass
class Result:
    """What a run has shown."""

    violations: list[str]
    figures: dict[str, Any]


class Observer(Peer):
    """A game that looks: at the history, and at who is online."""

    def hello(self) -> dict[str, Any]:
        return {"supports": FLAGS, "version": "2.4.0", "channels": sorted(CHANNELS)}

    async def read_history(self, channel: str) -> list[Received]:
        """Return all lines of a channel."""
        lines: list[Received] = []
        has_more = True
        while has_more:
            after = lines[-1].id if lines else 0
            answer = await self.request("channels/history", {"channel": channel, "after": after, "limit": 100})
            assert answer is not None and answer["status"] == SUCCESS, answer
            for message in answer["payload"]["messages"]:
                lines.append(Received(message["id"], channel, message["game"], message["name"], message["message"]))
            has_more = answer["payload"]["more"]
        return lines

    async def read_online(self, games: Iterable[str]) -> dict[str, set[str] | None]:
        """Return the players of each game; None for a game that is offline."""
        online: dict[str, set[str] | None] = {}
        for game in games:
            status = await self.request("games/status", {"game": game})
            players = await self.request("players/status", {"game": game})
            assert status is not None and players is not None
            is_online = "supports" in status["payload"]
            online[game] = set(players["payload"]["players"]) if is_online else None
        return online


class Scenario:
    """One run.

    Args:
        log: Called with what happens.
    """

    def __init__(self, database: str, form: Form, seed: int, log: Callable[[str], None]) -> None:
        self._form = form
        self._seed = seed
        self._log = log
        self._choices = random.Random(seed)
        self._recording = Recording()
        self._network = Network(database, form.settings, form.constants, seed)
        self._figures = Figures()
        self._tasks: list[asyncio.Task[None]] = []
        self._people: list[asyncio.Task[None]] = []
        self._happened: Counter[str] = Counter()
        self._lag_seconds = 0.0
        self._games: list[Game] = []
        self._replicas: list[Application] = []
        self._mirror: Program | None = None

    async def run(self) -> Result:
        """Run from start to verdict."""
        asyncio.get_running_loop().set_exception_handler(self._note_error)
        try:
            await self._start()
            await self._let_faults_happen()
            await self._end_load()
            await self._collect()
            return self._result()
        finally:
            await self._close()

    async def _start(self) -> None:
        network, form = self._network, self._form
        await network.start()
        names = [f"Game{number}" for number in range(GAMES)]
        owners = [f"owner{number}" for number in range(OWNERS)]
        for channel in sorted(CHANNELS):
            network.flask("channel", "create", channel)
        network.flask("user", "create", "warden", "warden@example.com", "--password", PASSWORD, "--verified")
        network.flask("user", "set-role", "warden", "moderator")
        extra = ["Observer", *(f"Ghost{number}" for number in range(GHOSTS))]
        credentials = network.create_games([*names, *extra], owners)
        applications = [network.create_application(f"Replica{number}") for number in range(REPLICAS + 1)]
        self._mirror_credentials = applications.pop()
        self._observer, *self._ghosts = credentials[GAMES:]
        common = {"heartbeat_seconds": form.heartbeat_seconds}
        self._games = [
            Game(
                network.url,
                each,
                self._recording,
                games=names,
                has_ids=number % 2 == 0,
                lines_per_second=form.lines_per_second,
                seed=self._seed + number,
                **common,
            )
            for number, each in enumerate(credentials[:GAMES])
        ]
        self._replicas = [
            Application(network.url, each, self._recording, seed=self._seed, **common) for each in applications
        ]
        self._mirror_path = network.folder / "mirror.db"
        self._mirror = Program("mirror", self._start_mirror, lambda: True)
        self._do(self._mirror.keep_running())
        for peer in self._peers:
            peer.start()
        await self._until(lambda: all(peer.is_open for peer in self._peers), 30, "all clients are connected")
        for game in self._games:
            game.speak()
        for number, owner in enumerate(owners):
            browser = Browser(network.site_urls, owner, PASSWORD, self._seed + number)
            self._people.append(
                self._do(edit_games(browser, names[number::OWNERS], self._recording, self._seed + number))
            )
        moderator = Browser(network.site_urls, "warden", PASSWORD, self._seed)
        self._people.append(self._do(mute_players(moderator, names, PLAYERS, self._recording, self._seed)))
        self._do(self._figures.collect(network))
        self._do(self._measure_lag())

    async def _let_faults_happen(self) -> None:
        """Every fault in random order, over and over. In the second half of a long run, no fault ends a process.

        So the processes live long enough to show whether they grow.
        """
        form = self._form
        faults = Faults(self._network, self._choices, seconds=form.fault_seconds)
        started_at = time.monotonic()
        while True:
            share = (time.monotonic() - started_at) / form.seconds if form.seconds else 0
            deck = faults.deck(only_gentle=share > 0.5)
            self._choices.shuffle(deck)
            for fault in deck:
                self._log(fault.__name__.replace("_", " "))
                self._happened[fault.__name__] += 1
                await fault()
                await asyncio.sleep(self._choices.uniform(*form.pause_seconds))
                if form.seconds and time.monotonic() - started_at > form.seconds:
                    return
            if not form.seconds:
                return

    async def _end_load(self) -> None:
        """Stop what people do, kill a worker together with games that do not come back, and wait."""
        victim = len(self._network.workers) - 1
        ghosts = [self._peer(Observer, each, self._network.worker_url(victim)) for each in self._ghosts]
        for ghost in ghosts:
            ghost.start()
        await self._until(lambda: all(ghost.is_open for ghost in ghosts), 30, "the ghosts are connected")
        for game in self._games:
            game.fall_silent()
        for task in self._people:
            task.cancel()
        await asyncio.sleep(3)  # the last requests are answered
        self._network.workers[victim].hit(9)
        self._log("kill worker, with games that do not come back")
        await asyncio.gather(*(ghost.stop() for ghost in ghosts))
        await asyncio.sleep(self._form.settle_seconds)
        for program in self._network.programs:
            if not await program.wait_until_ready():
                self._recording.faults.append(f"{program.name} does not answer: {program.process.lines[-5:]}")
        await self._until(lambda: all(peer.is_open for peer in self._peers), 30, "all clients are connected again")

    async def _collect(self) -> None:
        recording = self._recording
        fresh = Application(
            self._network.url,
            self._replicas[0].credentials,
            recording,
            heartbeat_seconds=self._form.heartbeat_seconds,
            seed=self._seed,
        )
        fresh.short_name = "fresh replica"
        fresh.start()
        await self._until(lambda: fresh.completions > 0, 30, "a fresh replica has the whole state")
        for replica in [*self._replicas, fresh]:
            if not await replica.complete():
                recording.faults.append(f"replica {replica.short_name} gets no sync/complete")
            recording.copies.append(replica.copy())
        await fresh.stop()
        recording.copies.append(await self._read_mirror())
        recording.expected_online = {game.short_name: game.players for game in self._games}
        recording.expected_online |= {ghost.short_name: None for ghost in self._ghosts}
        for number in range(len(self._network.workers)):
            observer = self._peer(Observer, self._observer, self._network.worker_url(number))
            observer.start()
            await self._until(_is_open(observer), 30, "the observer is connected")
            recording.online[f"worker {number}"] = await observer.read_online(recording.expected_online)
            if number == 0:
                recording.history = {channel: await observer.read_history(channel) for channel in CHANNELS}
            await observer.stop()

    async def _read_mirror(self) -> Copy:
        """Return the mirror's copy, once `backbone verify` calls it equal."""
        command = mirror_command(self._network.url, self._mirror_credentials, self._mirror_path, "verify")
        for _ in range(10):
            done = await asyncio.to_thread(
                subprocess.run,
                command,
                cwd=ROOT,
                env=mirror_environment(self._mirror_credentials),
                capture_output=True,
                text=True,
            )
            if done.returncode == 0:
                break
            await asyncio.sleep(2)
        else:
            self._recording.faults.append(f"backbone verify: {done.stdout}{done.stderr}")
        self._log(f"backbone verify: {done.stdout.strip()}")
        return _read_copy(self._mirror_path)

    def _result(self) -> Result:
        recording, network = self._recording, self._network
        violations = check(recording, delivery_seconds=self._form.delivery_seconds)
        programs = [*network.programs, *filter(None, [self._mirror])]
        violations += [end for program in programs for end in program.unexpected_ends]
        violations += [f"traceback: {name}: {line}" for name, line in network.outputs() if "Traceback" in line]
        violations += self._figures.violations()
        outcomes = Counter(line.outcome or "no answer" for line in recording.lines.values())
        figures = {
            "lines": dict(outcomes),
            "deliveries": sum(len(each.lines) for each in recording.sockets),
            "sockets": len(recording.sockets),
            "tells": dict(Counter(outcome or "no answer" for outcome in recording.tells.values())),
            "edits": dict(Counter(str(edit.is_committed) for edit in recording.edits)),
            "mutes": len(recording.mutes),
            "channels created": len(recording.created_channels),
            "starts": {program.name: program.starts for program in network.programs},
            "faults": dict(self._happened),
            "clock steps": "yes" if network.clock_library else "no: libfaketime is not installed",
            "growth": self._figures.growth(),
            "client lag": f"{self._lag_seconds:.2f} s at most",
        }
        return Result(violations, figures)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(peer.stop() for peer in self._peers))
        if self._mirror is not None:
            await asyncio.to_thread(self._mirror.process.kill)
        await self._network.close()

    @property
    def _peers(self) -> list[Peer]:
        return [*self._games, *self._replicas]

    def _peer(self, kind: type[Observer], credentials: Credentials, url: str) -> Observer:
        return kind(url, credentials, heartbeat_seconds=self._form.heartbeat_seconds, seed=self._seed)

    def _start_mirror(self) -> ServerProcess:
        command = mirror_command(self._network.url, self._mirror_credentials, self._mirror_path)
        return ServerProcess(command, env=mirror_environment(self._mirror_credentials))

    def _do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        return task

    async def _until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {seconds:g} s")
            await asyncio.sleep(0.05)

    async def _measure_lag(self) -> None:
        """Note how late this process itself was: on a starved machine its times say little."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.1)
            self._lag_seconds = max(self._lag_seconds, time.monotonic() - before - 0.1)

    def _note_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._recording.faults.append(f"client: {context.get('message')}: {context.get('exception')!r}")


def _is_open(peer: Peer) -> Callable[[], bool]:
    return lambda: peer.is_open


def _read_copy(path: Path) -> Copy:
    """Read a mirror's tables, and compute the digest from them as docs/protocol.md says."""
    with sqlite3.connect(path) as database:
        channels = {
            number: {"id": number, "name": name, "description": description, "hidden": bool(hidden)}
            for number, name, description, hidden in database.execute(
                "SELECT id, name, description, hidden FROM backbone_channels"
            )
        }
        fields = (
            "id, game, display_name, display, description, homepage_url, user_agent, user_agent_url, connections, "
            "allow_character_registration, redirect_uris"
        )
        games = {}
        for row in database.execute(f"SELECT {fields} FROM backbone_games"):
            record = dict(zip(fields.split(", "), row, strict=True))
            for name in ("connections", "redirect_uris"):
                record[name] = json.loads(record[name])
            for name in ("display", "allow_character_registration"):
                record[name] = bool(record[name])
            games[record["id"]] = record
    return Copy(
        "mirror",
        {record["game"]: record["description"] for record in games.values()},
        {record["name"] for record in channels.values()},
        digest(channels)[:16] + digest(games)[:16],
    )
