"""Filters: what may be saved, and what they do to a line."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import select

from shared import db
from shared.db import utc_now
from shared.errors import Invalid, NotFound
from shared.models import AuditEntry, Filter
from shared.services import history
from shared.services.authority import audit
from shared.services.authority.actors import OPERATOR
from shared.services.history import Line
from shared.services.moderation import (
    filters,
)
from shared.services.moderation.filter_rules import MAX_SIZE, FilterSet, Rule, size_of
from tests.support.racing import Racer, wait_until_blocked

pytestmark = pytest.mark.usefixtures("any_database")


def said(session, text, name="Bob", game_id=1, game="Tea", channel_id=1, sent_at=None):
    line = Line(channel_id, f"game:{game_id}", game, name, text, sent_at or utc_now())
    return history.store_lines(session, [line], worker="w")[0]


WORD = {"kind": "word", "action": "mask", "text": "darn"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "pattern", "text": "("}, "text"),
        ({"kind": "pattern", "text": "(?=x)"}, "text"),
        ({"kind": "pattern", "text": "x*"}, "text"),
        ({"kind": "pattern", "text": "x" * 201}, "text"),
        ({"kind": "pattern", "text": r"((\pL{100}){100}){10}"}, "text"),
        ({"kind": "word", "text": " "}, "text"),
        ({"kind": "spell"}, "kind"),
        ({"action": "explode"}, "action"),
        ({"kind": "flood", "action": "mask", "count": 2, "seconds": 2}, "action"),
        ({"kind": "flood", "action": "flag", "count": 0, "seconds": 2}, "count"),
        ({"kind": "repeat", "action": "flag", "count": 2}, "seconds"),
    ],
)
def test_an_invalid_filter_names_its_field(session, moderator, fields, field):
    with pytest.raises(Invalid) as caught:
        filters.create_filter(session, moderator, **{**WORD, **fields})
    assert caught.value.field == field and caught.value.message


def test_two_edits_of_a_filter_wait_for_each_other(engine, stored):
    """Each entry has the state before it, and an edit of a deleted filter fails."""
    with db.transaction() as session:
        number = filters.create_filter(session, OPERATOR, **WORD).id

    def switch():
        with db.transaction() as session:
            return filters.switch_filter(session, OPERATOR, filter_id=number, is_on=True)

    with db.transaction() as session:
        filters.update_filter(session, OPERATOR, filter_id=number, **{**WORD, "text": "drat"})
        racer = Racer(switch)
        wait_until_blocked(engine, racer)
    racer.join()
    with db.reading() as session:
        last = audit.entries_since(session, 0)[-1]
    assert '"text":"drat"' in (last.before or "") and '"text":"drat"' in (last.after or "")
    with db.transaction() as session:
        filters.delete_filter(session, OPERATOR, filter_id=number)
        racer = Racer(switch)
        wait_until_blocked(engine, racer)
    with pytest.raises(NotFound):
        racer.join()


def test_the_preview_shows_what_a_filter_would_have_done(session, moderator):
    for text in ("darn it", "darned", "a DARN thing", "fine"):
        said(session, text)
    looked, hits = filters.preview(session, moderator, **WORD)
    assert looked == 4
    assert [(hit.message.text, hit.verdict.text) for hit in hits] == [
        ("a DARN thing", "a **** thing"),
        ("darn it", "**** it"),
    ]
    session.commit()
    assert filters.list_filters(session) == [] and session.scalar(select(AuditEntry.number)) is None


def test_words_match_whole_words_in_any_script():
    rules = FilterSet([Rule(1, "word", "Straße", 0, 0, "mask"), Rule(2, "word", "c++", 0, 0, "mask")])

    def masked(text):
        return rules.check(text, who=("p", "x"), at=0.0).text

    assert masked("die STRAßE, straßenbahn") == "die ******, straßenbahn"
    assert masked("c++ c++x żółć") == "*** c++x żółć"


def test_repeats_count_only_lines_that_were_said(make):
    """They compare lines as they were broadcast, so masking must not make equal lines differ."""
    tried = FilterSet([Rule(1, "word", "darn", 0, 0, "mask"), Rule(2, "repeat", "", 2, 60, "refuse")])
    who = ("game:1", "bob")
    for at in (1.0, 2.0):
        verdict = tried.check("buy darn gold", who=who, at=at)
        assert verdict.text == "buy **** gold"
        tried.note(verdict.text, who=who, at=at)
    assert tried.check("buy darn gold", who=who, at=3.0).action == "refuse"
    assert tried.check("buy darn silver", who=who, at=3.0).action == "mask"


@pytest.mark.parametrize("word", ["d\u00e9j\u00e0", "de\u0301ja\u0300"])
def test_words_match_in_both_unicode_forms(word, session, moderator):
    word_filter = filters.create_filter(session, moderator, kind="word", action="mask", text=word)
    tried = FilterSet([filters.rule_of(word_filter)])
    assert tried.check("said De\u0301ja\u0300 vu \U0001f600!", who=("g", "n"), at=0).text == "said **** vu \U0001f600!"
    assert tried.check("cafe\u0301", who=("g", "n"), at=0).text == "cafe\u0301"


@pytest.mark.parametrize("unseen", "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e")
def test_invisible_characters_hide_no_word(unseen):
    """Not from words, patterns or repeats; and whole words stay whole."""
    rules = [Rule(1, "word", "darn", 0, 0, "mask"), Rule(2, "pattern", "go+ld", 0, 0, "mask")]
    tried = FilterSet([*rules, Rule(3, "repeat", "", 1, 60, "refuse"), Rule(4, "pattern", unseen * 3, 0, 0, "flag")])

    def masked(text):
        return tried.check(text, who=("p", "x"), at=0.0).text

    assert masked(f"a{unseen}b d{unseen}arn {unseen}c{unseen}") == f"a{unseen}b ***** {unseen}c{unseen}"
    assert masked(f"darn go{unseen}{unseen}old{unseen}!") == f"**** *******{unseen}!"
    assert masked(f"darn{unseen}ed") == f"darn{unseen}ed"
    assert tried.check(unseen * 3, who=("p", "x"), at=0.0).flags == (4,)
    tried.note("hello", who=("p", "x"), at=0.0)
    assert tried.check(f"hel{unseen}lo", who=("p", "x"), at=1.0).action == "refuse"


def test_no_pattern_is_slow():
    """Even one that would take a backtracking engine forever, on the longest line."""
    rules = FilterSet([Rule(1, "pattern", r"^(a+)+$", 0, 0, "refuse"), Rule(2, "pattern", r"(a|aa)+b", 0, 0, "flag")])
    assert rules.check("a" * 3999 + "!", who=("p", "x"), at=0.0).action == ""
    assert rules.check("a" * 4000, who=("p", "x"), at=0.0).action == "refuse"


@pytest.mark.parametrize("text", [r"\pL{4}", "[\\pL\\pN_]+@", "a[ab]{150}", "\u0436" * 190])
def test_filters_that_can_be_saved_compile_fast(session, moderator, text):
    """Whatever they consist of, at some point the next one is refused with advice."""

    def add(number):
        return filters.create_filter(session, moderator, kind="pattern", action="flag", text=f"{text}{number}")

    created = [add(0)]
    room = MAX_SIZE // size_of([filters.rule_of(created[0])]) - 3
    session.add_all(
        Filter(kind="pattern", action="flag", text=f"{text}{number}", created_by="x") for number in range(1, room)
    )
    with pytest.raises(Invalid, match="all filters together are too large") as caught:
        for number in range(room, room + 9):
            created.append(add(number))
    assert caught.value.field == "text" and len(created) > 1
    with pytest.raises(Invalid, match="this pattern is too large"):
        filters.create_filter(session, moderator, kind="pattern", action="flag", text=r"\pL{20}")
    rules = [filters.rule_of(stored) for stored in filters.list_filters(session)]
    began = time.process_time()
    assert FilterSet(rules).left_out == []
    assert time.process_time() - began < 0.5
    assert filters.update_filter(session, moderator, filter_id=created[0].id, **WORD).text == "darn"


def test_500_ordinary_words_can_be_saved(session, moderator):
    session.add_all(
        Filter(kind="word", action="mask", text=f"gutterslug{number}", created_by="x") for number in range(499)
    )
    filters.create_filter(session, moderator, **WORD)
    assert len(filters.list_filters(session)) == 500


def test_rules_too_large_to_compile_are_left_out():
    """Rules saved under an older limit: the others still apply, and the worker does not fail."""
    rules = [Rule(1, "word", "darn", 0, 0, "mask"), Rule(2, "pattern", r"\pL{20}", 0, 0, "flag")]
    rules += [Rule(number, "pattern", r"\pL{4}", 0, 0, "flag") for number in range(3, 8)]
    rules += [Rule(9, "pattern", "(", 0, 0, "flag"), Rule(10, "link", "", 0, 0, "refuse")]
    tried = FilterSet(rules)
    assert tried.left_out == [2, 7, 9]
    assert tried.check("darn", who=("p", "x"), at=0.0).text == "****"
    assert tried.check("www.example.org", who=("p", "x"), at=0.0).action == "refuse"
