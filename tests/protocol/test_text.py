"""Cleaning removes tags, escapes and controls and nothing else, in linear time. Cleaning twice changes nothing."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import Invalid
from shared.protocol.text import clean_line, clean_text, has_lone_surrogate, has_nul

TAG = re.compile(r"<(?:[/!?]?[A-Za-z]|!-|!\[)[^>]*>")
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize(
    "text",
    [
        "plain", "", "I <3 you", "a < b", "a < b > c", "1<2>1", "<", "<<<", ">", "<>", "</>", "<!>", "<!!!>", "->",
        "<-", "<3 <3 >", "<_< >_>", "x<y", "if a<b then", "<é>",
        "tab\there\nand a line", "100% \"q\" & 'r' {braces}", "✔️ 😀",
        "a<\nb>", "&lt;b&gt;", "family 👨\u200d👩\u200d👧", "\u200eleft",
    ],
)  # fmt: skip
def test_text_that_is_not_a_tag_stays(text: str) -> None:
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("<b>bold</b>", "bold"),
        ("<B>bold</B>", "bold"),
        ("<br/>x<br />", "x"),
        ("<a href='x'>link</a>", "link"),
        ("</a>", ""),
        ("<!EL foo>x", "x"),
        ("<!ELEMENT em '<B><I>' OPEN>x", "x"),
        ("<!-- note -->x", "x"),
        ("<?xml version='1.0'?>x", "x"),
        ("<![CDATA[x]]>y", "y"),
        ("<send href=\"look\" hint='see'>look</send>", "look"),
        ("<color red>x</color>", "x"),
        ("<script src=x>alert(1)</script>", "alert(1)"),
        ("<<b>b>x", "x"),
        ("<<b>script>x", "x"),
        ("<scr<b>ipt>x", "x"),
        ("<</b>/b>x", "x"),
        ("< <b>b>", "< b>"),
        ("<\x00b>x", "x"),
        ("<\u202eb>x", "x"),
        ("<\x1b[1mb>x", "x"),
        ("<b\n>x", "x"),
        ("x<y and y>z", "x< y and y>z"),
        ("a<b and c>d", "a< b and c>d"),
        ("<x <y z>", "< x < y z>"),
        ("see <http://example.com/a>", "see < http://example.com/a>"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b[1zmxp", "mxp"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://e\x1b\\x", "x"),
        ("\x9d0;title\x9cx", "x"),
        ("\x1bPdcs\x1b\\x", "x"),
        ("\x1b]0;never ended", "0;never ended"),
        ("\x1b(Bx\x1b7y\x1bcz", "xyz"),
        ("\x1b[", ""),
        ("\x1b", ""),
        ("a\r\nb", "a\nb"),
        ("a\x00b\x07c\x7fd\x85e", "abcde"),
        ("\u202eabc\u202c\u2066d\u2069", "abcd"),
    ],
)
def test_tags_and_controls_are_removed(text: str, clean: str) -> None:
    assert clean_text(text) == clean


pieces = st.lists(
    st.sampled_from(
        [
            *"<<<>>>/!?-[]bay =\"'\n\t\\;m\x1b\x07\x9b\x9d\x9c\x00\u202e",
            "<b>",
            "</b",
            "=x",
            "\x1b[",
            "\x1b]",
            "send ",
            "<!",
            "0;1",
        ]
    ),
    max_size=40,
).map("".join)


@given(st.text() | pieces)
@example("<a <b c> d>")
def test_cleaning_is_complete_after_one_pass(text: str) -> None:
    clean = clean_text(text)

    assert clean_text(clean) == clean
    assert not TAG.search(clean)
    assert not CONTROL.search(clean)
    line = clean_line(text)
    assert clean_line(line) == line
    assert not TAG.search(line)


@pytest.mark.parametrize(
    "piece",
    ["<", ">", "<b", "<b>", "<a ", "</", "<!", "<x y", "\x1b]", "\x9d", "\x1b[1", "\x1b[", "\x1b", "\x1b(", "<a=\"",
     "\x1bPx", "\u202e", "< ", "<x y>", "a ", "a =", "= ", "<a  ", "\x00<"],
)  # fmt: skip
def test_hostile_text_takes_linear_time(piece: str) -> None:
    """In quadratic time this would take minutes; the limit leaves a wide margin to both sides."""
    once = piece * (65536 // len(piece))
    for text in (once, once + ">", once + ">" * 30000, "<x " + " " * 60000 + ">", once + "\x07", once + "a=b>"):
        start = time.process_time()
        clean_text(text)
        assert time.process_time() - start < 5


def test_lone_surrogates_are_refused() -> None:
    for text in ("\ud800", "a\udfffb", "<b>\ud83d"):
        assert has_lone_surrogate(text)
        with pytest.raises(Invalid):
            clean_text(text)
    assert not has_lone_surrogate("😀 \x00")


def test_nul_is_detected() -> None:
    assert has_nul("a\x00")
    assert not has_nul("a")
