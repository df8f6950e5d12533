"""The moderation view: the order of its checks, what it allows, and which parts it reads again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from sqlalchemy.exc import OperationalError

from shared import db, grapevine, peer_keys
from shared.errors import Banned, ChannelPaused, DomainError, Filtered, Muted, TooMany
from shared.protocol.sync import ChannelRecord
from shared.services.authority.actors import OPERATOR
from shared.services.authority.changes import Part
from shared.services.moderation import channel_states
from shared.services.moderation.filter_rules import Rule
from shared.services.moderation.safeguards import Safeguards
from shared.services.moderation.snapshots import Snapshot
from shared.signals import ModerationChanged
from tests.support.in_process import PlainDatabase, ending_greenlets, wait_for
from worker.moderation import view as view_module
from worker.moderation.listeners import listener_key
from worker.moderation.sanctions import Speaker
from worker.moderation.view import Moderation

GAME, OTHER_GAME = peer_keys.of_game(1), peer_keys.of_game(2)
CHANNEL = ChannelRecord(id=5, name="gossip", description=None, hidden=False)
WREN = Speaker(GAME, "Ashfall", "Wren", "wren", "203.0.113.5")


class FakeSignals:
    def on(self, signal_class: type, handler: Callable[[Any], None]) -> None: ...
    def on_connected(self, handler: Callable[[], None]) -> None: ...


class FakeDatabase:
    """Returns the same snapshot for every read."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def read(self, function: Any) -> Any:
        return self._snapshot


@pytest.fixture
def spawned(monkeypatch) -> Iterator[None]:
    with ending_greenlets(monkeypatch):
        yield


@pytest.fixture
def show(clock, spawned) -> Callable[..., Moderation]:
    """Return a function that builds a view with the given decisions."""

    def show(**decisions: Any) -> Moderation:
        snapshot = Snapshot(1, 0, frozenset(Part), **decisions)
        view = Moderation(FakeDatabase(snapshot), FakeSignals(), clock=clock)  # type: ignore[arg-type]
        view.start()
        return view

    return show


def state(*, is_paused: bool = False, paused_until: Any = None, slow_seconds: int = 0, is_closed: bool = False) -> Any:
    return SimpleNamespace(
        channel_id=CHANNEL.id,
        is_paused=is_paused,
        paused_until=paused_until,
        slow_seconds=slow_seconds,
        is_closed=is_closed,
        pause_reason="",
    )


def sanction(kind: str, target_kind: str = "game", **fields: Any) -> Any:
    targets = {"peer": GAME, "player_key": None, "user_id": None, "address": None}
    return SimpleNamespace(
        **{"id": 1, "channel_id": None, "reason": "spam", "until": None, **targets, **fields},
        kind=kind,
        target_kind=target_kind,
    )


def word(text: str, action: str, number: int = 1) -> Rule:
    return Rule(id=number, kind="word", text=text, count=0, seconds=0, action=action)


def refusal(view: Moderation, text: str = "hello", speaker: Speaker = WREN) -> type[DomainError] | None:
    try:
        view.check_line(speaker, CHANNEL, text)
    except DomainError as error:
        return type(error)
    return None


def test_a_line_is_refused_for_the_first_of_several_reasons(show):
    """The checks run in this order: the channel's state, sanctions, filters, slow mode."""
    slow, muted, filters = state(slow_seconds=10), [sanction("mute")], [word("spam", "refuse")]
    paused = state(is_paused=True, slow_seconds=10)

    def first_refusal(**decisions: Any) -> type[DomainError] | None:
        view = show(**decisions)
        view.note_line(GAME, "wren", CHANNEL.id, "earlier")
        return refusal(view, "spam")

    assert first_refusal(channels=[paused], sanctions=muted, filters=filters) is ChannelPaused
    assert first_refusal(channels=[slow], sanctions=muted, filters=filters) is Muted
    assert first_refusal(channels=[slow], filters=filters) is Filtered
    assert first_refusal(channels=[slow]) is TooMany
    assert first_refusal() is None


def test_a_closed_channel_refuses_lines_and_subscriptions(show):
    view = show(channels=[state(is_closed=True)])
    assert refusal(view) is ChannelPaused
    assert view.is_closed(CHANNEL.id)
    assert not view.is_closed(6)


def test_a_pause_ends_at_its_time(show, clock):
    view = show(channels=[state(is_paused=True, paused_until=datetime.fromtimestamp(clock.now + 10, UTC))])
    clock.now += 9.999
    assert refusal(view) is ChannelPaused
    clock.now += 0.001
    assert refusal(view) is None


def test_a_pause_without_an_end_does_not_end(show, clock):
    view = show(channels=[state(is_paused=True)])
    clock.now += 1e9
    assert refusal(view) is ChannelPaused


def test_slow_mode_counts_per_player_and_says_how_long_to_wait(show, clock):
    view = show(channels=[state(slow_seconds=10)])
    view.note_line(GAME, "wren", CHANNEL.id, "hello")
    clock.now += 4
    with pytest.raises(TooMany) as caught:
        view.check_line(WREN, CHANNEL, "again")
    assert 6_000 <= caught.value.details["retry_after_ms"] <= 6_001
    assert refusal(view, speaker=WREN._replace(name="Robin", key="robin")) is None
    assert refusal(view, speaker=WREN._replace(peer=OTHER_GAME)) is None
    clock.now += 6
    assert refusal(view) is None


def test_slow_mode_applies_to_its_own_channel_only(show):
    view = show(channels=[state(slow_seconds=10)])
    view.note_line(GAME, "wren", 6, "hello")
    assert refusal(view) is None


def test_filters_mask_and_flag(show):
    view = show(filters=[word("darn", "mask", 1), word("offer", "flag", 2)])
    line = view.check_line(WREN, CHANNEL, "a darn offer")
    assert line.text == "a **** offer"
    assert line.flags == (2,)
    assert view.check_line(WREN, CHANNEL, "hello") == ("hello", ())


def test_floods_are_still_counted_after_filters_have_changed(show):
    flood = Rule(id=1, kind="flood", text="", count=2, seconds=60, action="refuse")
    view = show(filters=[flood])
    for _ in range(2):
        view.note_line(GAME, "wren", CHANNEL.id, "hello")
    view._apply(Snapshot(2, 0, frozenset({Part.FILTERS}), filters=[flood, word("spam", "refuse", 2)]))
    assert refusal(view) is Filtered


def test_bans_and_mutes_keep_players_from_tells(show):
    show().check_tell(WREN)
    with pytest.raises(Muted):
        show(sanctions=[sanction("mute")]).check_tell(WREN)
    with pytest.raises(Banned):
        show(sanctions=[sanction("ban")]).check_tell(WREN)
    show(sanctions=[sanction("mute", channel_id=CHANNEL.id)]).check_tell(WREN)


def test_only_a_ban_hides_a_player_and_closes_sockets(show):
    muted, banned = show(sanctions=[sanction("mute")]), show(sanctions=[sanction("ban")])
    assert not muted.is_banned(WREN) and banned.is_banned(WREN)
    muted.check_socket(GAME, WREN.address)
    banned.check_socket(OTHER_GAME, WREN.address)
    with pytest.raises(Banned):
        banned.check_socket(GAME, WREN.address)


@pytest.mark.parametrize("kind", ["mute", "ban"])
def test_sanctions_of_addresses_do_not_stop_staff_who_are_signed_in(show, kind):
    """Otherwise a moderator could lock out the admins. Players of games are never signed in."""
    row = sanction(kind, "address", peer=None, address="203.0.113.0/24")
    staff = WREN._replace(peer=grapevine.KEY, user_id=7)
    view = show(sanctions=[row], staff=frozenset({7}))
    assert refusal(view, speaker=staff) is None and not view.is_banned(staff)
    view.check_tell(staff)
    view.check_socket(None, staff.address, user_id=7)
    for speaker in (staff._replace(user_id=8), WREN):
        assert refusal(view, speaker=speaker) is {"mute": Muted, "ban": Banned}[kind]
        if kind == "ban":
            with pytest.raises(Banned):
                view.check_socket(None, speaker.address, user_id=speaker.user_id)


def test_other_sanctions_stop_staff_too(show):
    row = sanction("ban", "user", peer=None, user_id=7)
    view = show(sanctions=[row], staff=frozenset({7}))
    assert refusal(view, speaker=WREN._replace(peer=grapevine.KEY, user_id=7)) is Banned


def test_only_admins_may_lift_sanctions_of_staff(show):
    people = {(GAME, "wren"): 7}
    row = sanction("ban", "player", player_key="wren")
    for staff, lifted_by in ((frozenset(), "moderators"), (frozenset({7}), "admins")):
        view = show(sanctions=[row], people=people, staff=staff)
        with pytest.raises(Banned) as caught:
            view.check_tell(WREN)
        assert caught.value.details["lifted_by"] == lifted_by


def test_mutes_and_ignores_exclude_listeners(show):
    view = show(
        mutes=[(2, "wren@*"), (3, "robin@ashfall")],
        ignores={7: [("w*@ashfall", None)], 8: [(None, 9)], 9: [("wren@ashfall", None)]},
        people={(GAME, "wren"): 9},
    )
    muting = {peer_keys.of_game(2)}
    assert view.listeners.muting_peers(GAME, "Ashfall", "Wren") == muting
    # Account 9 is the speaker, and nobody can ignore themselves.
    assert view.listeners.excluded_listeners(GAME, "Ashfall", "Wren") == muting | {listener_key(7), listener_key(8)}
    assert view.listeners.excluded_listeners(GAME, "Ashfall", "Robin") == {peer_keys.of_game(3)}


def test_nobody_can_mute_or_ignore_system(show):
    view = show(mutes=[(2, "*@*")], ignores={7: [("*@*", None)]})
    assert view.listeners.excluded_listeners(grapevine.KEY, grapevine.SHORT_NAME, grapevine.SYSTEM) == frozenset()
    assert view.listeners.excluded_listeners(GAME, "Ashfall", grapevine.SYSTEM) != frozenset()


def test_a_tell_does_not_reach_players_who_mute_or_ignore_the_sender(show):
    third = peer_keys.of_game(3)
    view = show(
        mutes=[(2, "wren@*")],
        ignores={7: [("wren@ashfall", None)], 8: [(None, 9)]},
        people={(third, "ada"): 7, (third, "bo"): 8, (GAME, "wren"): 9},
    )
    assert view.listeners.is_unwanted((OTHER_GAME, "anyone"), WREN)
    assert view.listeners.is_unwanted((third, "ada"), WREN)
    assert view.listeners.is_unwanted((third, "bo"), WREN)
    assert not view.listeners.is_unwanted((third, "cy"), WREN)
    assert not view.listeners.is_unwanted((third, "ada"), WREN._replace(name="Robin", key="robin"))


def test_only_the_parts_of_a_snapshot_are_replaced(show):
    view = show(sanctions=[sanction("mute")], mutes=[(2, "wren@*")], scopes={4: ["moderate"]})
    changed: list[frozenset[Part]] = []
    view.on_change = changed.append
    assert view.listeners.muting_peers(GAME, "Ashfall", "Wren") == {OTHER_GAME}

    view._apply(Snapshot(2, 0, frozenset({Part.MUTES})))

    assert changed == [{Part.MUTES}]
    assert view.listeners.muting_peers(GAME, "Ashfall", "Wren") == frozenset()
    view._apply(Snapshot(3, 0, frozenset({Part.MUTES}), mutes=[(3, "wren@*")]))
    assert view.listeners.muting_peers(GAME, "Ashfall", "Wren") == {peer_keys.of_game(3)}
    assert refusal(view) is Muted
    assert view.may_moderate(4) and not view.may_moderate(5)


@pytest.fixture
def following(engine, spawned, monkeypatch) -> Moderation:
    """A view of the test's database that reads only after a signal."""
    monkeypatch.setattr(view_module, "POLL_SECONDS", 60.0)
    view = Moderation(PlainDatabase(), FakeSignals())  # type: ignore[arg-type]
    view.start()
    return view


def pause(channel: Any) -> None:
    with db.transaction() as session:
        channel_states.pause(session, OPERATOR, channel=channel.name, minutes=None, reason="calm")


def test_a_signal_makes_the_view_read_the_parts_it_names(stored, following):
    changed: list[frozenset[Part]] = []
    following.on_change = changed.append
    channel = stored.channel()
    pause(channel)
    following.follow(ModerationChanged(following.revision + 1, [Part.CHANNELS]))
    wait_for(lambda: changed)
    assert changed == [{Part.CHANNELS}]
    with pytest.raises(ChannelPaused):
        following.check_line(WREN, ChannelRecord(id=channel.id, name="x", description=None, hidden=False), "hello")


def test_after_a_lost_signal_everything_is_read(stored, following):
    changed: list[frozenset[Part]] = []
    following.on_change = changed.append
    pause(stored.channel())  # its signal is lost
    pause(stored.channel())
    following.follow(ModerationChanged(following.revision + 2, [Part.CHANNELS]))
    wait_for(lambda: changed)
    assert changed == [set(Part)]


def test_a_repeated_signal_changes_nothing(stored, following):
    changed: list[frozenset[Part]] = []
    pause(stored.channel())
    signal = ModerationChanged(following.revision + 1, [Part.CHANNELS])
    following.follow(signal)
    wait_for(lambda: following.revision == signal.revision)
    following.on_change = changed.append
    following.follow(signal)
    gevent.sleep(0.02)
    assert changed == []


def test_acts_are_passed_on_once_and_in_order(stored, following, monkeypatch):
    monkeypatch.setattr(view_module, "ACTS_PER_READ", 2)
    numbers: list[int] = []
    following.on_acts = lambda acts: numbers.extend(entry.number for entry in acts)
    for _ in range(3):
        pause(stored.channel())
    following.follow(ModerationChanged(following.revision + 3, [Part.CHANNELS]))
    wait_for(lambda: len(numbers) == 3)
    pause(stored.channel())
    following.follow(ModerationChanged(following.revision + 1, [Part.CHANNELS]))
    wait_for(lambda: len(numbers) == 4)
    assert numbers == list(range(numbers[0], numbers[0] + 4))


def test_acts_during_the_reads_of_earlier_ones_are_passed_on_once(stored, following, monkeypatch):
    monkeypatch.setattr(view_module, "ACTS_PER_READ", 2)
    numbers: list[int] = []

    def note(acts: list[Any]) -> None:
        if not numbers:
            pause(stored.channel())
        numbers.extend(entry.number for entry in acts)

    following.on_acts = note
    for _ in range(2):
        pause(stored.channel())
    following.follow(ModerationChanged(following.revision + 2, [Part.CHANNELS]))
    wait_for(lambda: len(numbers) == 3)
    following.follow(ModerationChanged(following.revision + 1, [Part.CHANNELS]))
    pause(stored.channel())
    following.follow(ModerationChanged(following.revision + 2, [Part.CHANNELS]))
    wait_for(lambda: len(numbers) >= 4)
    assert numbers == list(range(numbers[0], numbers[0] + 4))


def test_acts_that_could_not_be_read_are_passed_on_later(stored, following, monkeypatch):
    """The view itself is already up to date by then."""
    monkeypatch.setattr(view_module, "ACTS_PER_READ", 2)
    numbers: list[int] = []
    read = following._database.read

    def fail_once(function: Any) -> Any:
        following._database.read = read
        raise OperationalError("SELECT", {}, Exception("the database is down"))

    def note(acts: list[Any]) -> None:
        if not numbers:
            following._database.read = fail_once
        numbers.extend(entry.number for entry in acts)

    following.on_acts = note
    for _ in range(3):
        pause(stored.channel())
    following.follow(ModerationChanged(following.revision + 3, [Part.CHANNELS]))
    wait_for(lambda: len(numbers) == 2)
    monkeypatch.setattr(view_module, "POLL_SECONDS", 0.01)
    wait_for(lambda: len(numbers) == 3)
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def settled_at(clock, **fields: Any) -> Safeguards:
    """Return safeguards that know one young game and one young account, an hour old."""
    created_at = datetime.fromtimestamp(clock.now - 3600, UTC)
    young = {"young_games": {1: created_at}, "young_users": {7: created_at}, "newest_game": 2, "newest_user": 9}
    return Safeguards(**{**young, **fields})


def test_in_a_raid_only_approved_characters_old_games_and_old_accounts_speak(show, clock):
    end = datetime.fromtimestamp(clock.now + 60, UTC)
    view = show(safeguards=settled_at(clock, raid_until=end, approved=frozenset([(1, "odo")])), staff=frozenset([9]))
    browser = Speaker(grapevine.KEY, "Grapevine", "Wren", "wren", "203.0.113.5", 7)
    assert refusal(view) is ChannelPaused
    assert refusal(view, speaker=WREN._replace(name="Odo", key="odo")) is None
    assert refusal(view, speaker=WREN._replace(peer=peer_keys.of_game(2))) is None
    assert refusal(view, speaker=WREN._replace(peer=peer_keys.of_game(3))) is ChannelPaused, "registered since"
    assert refusal(view, speaker=browser) is ChannelPaused
    assert refusal(view, speaker=browser._replace(user_id=8)) is None
    assert refusal(view, speaker=browser._replace(user_id=10)) is ChannelPaused, "registered since"
    assert refusal(view, speaker=browser._replace(user_id=9)) is None
    clock.now += 60
    assert refusal(view) is None


def test_newcomers_on_probation_are_slow_and_say_no_links(show, clock):
    view = show(safeguards=settled_at(clock, probation_hours=2, slow_seconds=10, refuses_links=True))
    old_game = WREN._replace(peer=peer_keys.of_game(2))
    assert refusal(view, "see https://example.com") is Filtered
    assert refusal(view, "see https://example.com", speaker=old_game) is None
    for speaker in (WREN, old_game):
        view.note_line(speaker.peer, speaker.key, CHANNEL.id, "hello")
    assert refusal(view) is TooMany
    assert refusal(view, speaker=old_game) is None
    clock.now += 3600
    assert refusal(view, "see https://example.com") is None, "the game is two hours old"


def test_probation_does_not_limit_staff(show, clock):
    safeguards = settled_at(clock, probation_hours=2, slow_seconds=10, refuses_links=True)
    view = show(safeguards=safeguards, staff=frozenset([7]))
    moderator = Speaker(grapevine.KEY, "Grapevine", "Wren", "wren", "203.0.113.5", 7)
    view.note_line(moderator.peer, moderator.key, CHANNEL.id, "hello")
    assert refusal(view, "see https://example.com", speaker=moderator) is None
    assert refusal(view, "see https://example.com", speaker=moderator._replace(user_id=10)) is Filtered
