"""The checker of the fault runs: a clean run passes, and each kind of damage is reported."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.recording import SUCCESS, Copy, Edit, Line, Mute, Reader, Received, Recording
from tests.support.import_graph import imports_of
from tests.support.processes import ROOT

INDEPENDENT = ("recording.py", "checker.py", "peer.py", "games.py", "replicas.py", "people.py")
CODE_UNDER_TEST = ("app", "worker", "shared", "server", "launcher", "gossip_client", "backbone")


def clean_recording() -> Recording:
    """Two games say three lines each, and everybody receives everything."""
    recording = Recording()
    ann = recording.open_socket("Alpha", frozenset({"gossip"}), 0.0)
    bob = recording.open_socket("Beta", frozenset({"gossip"}), 0.0)
    reader = Reader("Beta", "gossip", 0.0)
    recording.readers.append(reader)
    recording.history["gossip"] = []
    for number in range(6):
        game, player, socket = ("Alpha", "Ann", ann) if number % 2 == 0 else ("Beta", "Bob", bob)
        line = Line(f"line {number}", "gossip", game, player, socket.number, 1.0 + number, SUCCESS, 1.5 + number)
        recording.lines[line.text] = line
        received = Received(number + 1, "gossip", game, player, line.text)
        recording.history["gossip"].append(received)
        (bob if socket is ann else ann).lines.append(received)
        if socket is ann:
            reader.lines.append(received)
    recording.tells = {"psst": SUCCESS, "unanswered": None, "refused": "player-offline"}
    ann.tells, bob.notices = ["psst"], [("players/sign-in", "Alpha", "Guest")]
    recording.edits = [Edit("Alpha", 1, True), Edit("Alpha", 2, None)]
    recording.created_channels = {"new"}
    recording.copies = [Copy(name, {"Alpha": "edit 1"}, {"gossip", "new"}, "d1") for name in ("first", "second")]
    recording.expected_online = {"Alpha": {"Ann"}, "Beta": {"Bob"}, "Gone": None}
    recording.online = {"first worker": {"Alpha": {"Ann"}, "Beta": {"Bob"}, "Gone": None}}
    recording.mutes = [Mute("Alpha", "Muted", 2.0, 60.0)]
    muted = Line("muted", "gossip", "Alpha", "Muted", ann.number, 30.0, "muted", 30.1)
    recording.lines["muted"] = muted
    return recording


def test_a_clean_run_has_no_violation() -> None:
    assert check(clean_recording()) == []


def lost_from_history(recording: Recording) -> None:
    del recording.history["gossip"][2]


def lost_on_a_socket(recording: Recording) -> None:
    del recording.sockets[1].lines[0]


def lost_by_a_reader(recording: Recording) -> None:
    del recording.readers[0].lines[1]


def doubled_in_history(recording: Recording) -> None:
    again = copy.copy(recording.history["gossip"][0])
    again.id = 99
    recording.history["gossip"].append(again)


def doubled_on_a_socket(recording: Recording) -> None:
    recording.sockets[1].lines.append(recording.sockets[1].lines[0])


def doubled_by_a_reader(recording: Recording) -> None:
    recording.readers[0].lines.append(recording.readers[0].lines[0])


def swapped_on_a_socket(recording: Recording) -> None:
    lines = recording.sockets[1].lines
    lines[0], lines[1] = lines[1], lines[0]


def swapped_in_history(recording: Recording) -> None:
    lines = recording.history["gossip"]
    lines[0].text, lines[2].text = lines[2].text, lines[0].text


def swapped_ids(recording: Recording) -> None:
    lines = recording.history["gossip"]
    lines[0].id, lines[1].id = lines[1].id, lines[0].id


def refused_but_stored(recording: Recording) -> None:
    recording.lines["line 0"].outcome = "rate-limited"


def sent_by_nobody(recording: Recording) -> None:
    del recording.lines["line 1"]


def said_by_another_player(recording: Recording) -> None:
    recording.history["gossip"][0].player = "Eve"


def echoed_to_its_own_game(recording: Recording) -> None:
    recording.sockets[0].lines.insert(0, recording.history["gossip"][0])


def doubled_tell(recording: Recording) -> None:
    recording.sockets[1].tells.append("psst")


def refused_tell_that_arrived(recording: Recording) -> None:
    recording.sockets[1].tells.append("refused")


def doubled_notice(recording: Recording) -> None:
    recording.sockets[1].notices *= 2


def stale_replica(recording: Recording) -> None:
    recording.edits.append(Edit("Alpha", 3, True))


def replica_from_the_future(recording: Recording) -> None:
    for each in recording.copies:
        each.descriptions["Alpha"] = "edit 7"


def replica_without_a_channel(recording: Recording) -> None:
    recording.copies[1].channels.discard("new")


def unequal_replicas(recording: Recording) -> None:
    recording.copies[1].digest = "d2"


def ghost_game(recording: Recording) -> None:
    recording.online["first worker"]["Gone"] = set()


def ghost_player(recording: Recording) -> None:
    recording.online["first worker"]["Alpha"] = {"Ann", "Left"}


def missing_player(recording: Recording) -> None:
    recording.online["first worker"]["Beta"] = set()


def missing_game(recording: Recording) -> None:
    recording.online["first worker"]["Beta"] = None


def muted_line_that_got_through(recording: Recording) -> None:
    recording.lines["muted"].outcome = SUCCESS
    recording.history["gossip"].append(Received(7, "gossip", "Alpha", "Muted", "muted"))


def noted_by_a_client(recording: Recording) -> None:
    recording.faults.append("replica: cursor 3 after 4")


@pytest.mark.parametrize(
    ("damage", "violation"),
    [
        (lost_from_history, "lost: 'line 2' was acknowledged, but is not in the history"),
        (lost_on_a_socket, "lost: socket 1 of Beta was open, but never received 'line 0'"),
        (lost_by_a_reader, "lost: Beta has caught up, but never showed 'line 2'"),
        (doubled_in_history, "doubled: 'line 0' is in the history 2 times"),
        (doubled_on_a_socket, "doubled: socket 1 of Beta received 'line 0' 2 times"),
        (doubled_by_a_reader, "doubled: Beta showed 'line 0' 2 times"),
        (swapped_on_a_socket, "swapped: socket 1 of Beta has 'line 2' before 'line 0'"),
        (swapped_in_history, "swapped: the history of gossip has 'line 2' before 'line 0'"),
        (swapped_ids, "history: the ids of gossip do not increase"),
        (refused_but_stored, "invented: 'line 0' was refused (rate-limited), but is in the history"),
        (sent_by_nobody, "invented: the history of gossip contains 'line 1', which nobody sent"),
        (said_by_another_player, "mixed up: the history of gossip contains 'line 0' of Eve@Alpha"),
        (echoed_to_its_own_game, "echoed: socket 0 of Alpha received 'line 0', which its own game sent"),
        (doubled_tell, "doubled: the tell 'psst' arrived 2 times"),
        (refused_tell_that_arrived, "invented: the tell 'refused' was refused, but arrived"),
        (doubled_notice, "doubled: socket 1 of Beta received players/sign-in of Guest@Alpha 2 times"),
        (stale_replica, "stale: first has 'edit 1' for Alpha, but edit 3 was committed"),
        (replica_from_the_future, "stale: first has 'edit 7' for Alpha, but edit 1 was committed"),
        (replica_without_a_channel, "stale: second lacks the channel new"),
        (unequal_replicas, "replicas differ: first d1, second d2"),
        (ghost_game, "ghost: first worker says that Gone is online"),
        (ghost_player, "ghost: first worker says that Left@Alpha is online"),
        (missing_player, "missing: first worker says that Bob@Beta is offline"),
        (missing_game, "missing: first worker says that Beta is offline"),
        (muted_line_that_got_through, "unmuted: 'muted' of Muted@Alpha got through a mute"),
        (noted_by_a_client, "replica: cursor 3 after 4"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_damage_is_reported(damage: Callable[[Recording], None], violation: str) -> None:
    recording = clean_recording()
    damage(recording)
    assert violation in check(recording, delivery_seconds=1)


def test_a_line_may_miss_a_socket_that_closed_soon_after_or_opened_later() -> None:
    """It may have been on its way. A reader gets it from the history."""
    recording = clean_recording()
    closed, late = recording.sockets[1], recording.open_socket("Beta", frozenset({"gossip"}), 6.0)
    closed.lines.clear()
    closed.closed_at = 2.0
    assert late.lines == []
    assert check(recording) == []


def test_a_line_without_an_answer_may_be_stored_or_not() -> None:
    recording = clean_recording()
    recording.lines["line 0"].outcome = None
    assert check(recording) == []
    lost_from_history(recording)
    recording.lines["line 2"].outcome = None
    assert check(recording) == []


def test_a_line_without_an_answer_may_be_overtaken_through_the_next_socket() -> None:
    recording = clean_recording()
    swapped_on_a_socket(recording)
    recording.lines["line 2"].socket = 7
    assert any("swapped" in violation for violation in check(recording))
    recording.lines["line 0"].outcome = None
    assert check(recording) == []


def test_the_checker_and_its_clients_import_nothing_of_the_code_under_test() -> None:
    folder = Path(__file__).parent
    imports = [
        f"{name} imports {module}"
        for name in INDEPENDENT
        for _, module in imports_of(folder / name, ROOT)
        if module.split(".")[0] in CODE_UNDER_TEST
    ]
    assert imports == []
