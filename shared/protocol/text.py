"""Cleaning of what people type. Source: docs/protocol.md, §2 (last point) and §8. Pure: no I/O, no clock."""

import re

from shared.errors import Invalid

_SURROGATE = re.compile("[\ud800-\udfff]")

# What a terminal takes for a command, and what no line of chat needs. One pass leaves neither ESC nor any C1 control,
# so nothing that is left can join into a new escape. A control string (OSC and the like) must end before the next
# control character: that keeps the scan linear, and an unended one loses only its introducer.
_CONTROLS = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
    "|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x00-\x1f\x7f-\x9f]*+(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]*[0-~]?"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+"
)

_PIECES = re.compile(r"[<>]|[^<>]+")
_BEGINS_TAG = re.compile(r"[/!?]?[A-Za-z]|!-|!\[")
_ELEMENT = re.compile(r"[A-Za-z][A-Za-z0-9_:.-]*")
_ATTRIBUTE = re.compile(r"""[\w-]\s*=\s*["'\w#&/]""")

# Elements that are a tag even with nothing but bare words after the name (`<color red>`, `<script async>`). One-letter
# names are left out on purpose: `<b and c>` is arithmetic far more often.
_ELEMENTS = frozenset(
    """
    audio bold br button center color colour dest destination details dialog div em embed expire font form frame
    gauge high hr html iframe image img input italic li link marquee meta music nobr object ol option pass pre
    relocate script select send small sound source span stat strike strong style sub sup support svg table td
    textarea th title tr tt ul underline user var version video
    """.split()  # noqa: SIM905 (a page of quotes reads worse)
)


def has_lone_surrogate(text: str) -> bool:
    """Whether the text holds half of a character: not text at all, and no UTF-8 can be made of it (§8)."""
    # Only text that is not printable can hold one; this test runs at the speed of C over ordinary lines.
    return not text.isprintable() and _SURROGATE.search(text) is not None


def has_nul(text: str) -> bool:
    """Whether the text holds U+0000, which is refused in whatever is kept as a record (§8)."""
    return "\x00" in text


def clean_text(text: str) -> str:
    """The text without tags, escapes, control characters (but tab and newline) and bidirectional overrides.

    Linear in the length of the text; cleaning twice changes nothing more. What counts as a tag: `strip_tags`.
    Raises Invalid where the text holds a lone surrogate.
    """
    if "<" not in text and text.isprintable():
        return text
    if _SURROGATE.search(text):
        raise Invalid("the text holds half of a character (a lone surrogate)")
    return strip_tags(_CONTROLS.sub("", text))


def clean_line(text: str) -> str:
    """As `clean_text`, on one line: runs of white space become one blank, none at either end."""
    return " ".join(clean_text(text).split())


def strip_tags(text: str) -> str:
    """The text without MXP and HTML tags. The result holds no `<` that, with a `>` after it, could be one.

    A tag begins with `<` and at once a letter, `/` or `!` and a letter (`<b>`, `</a>`, `<!EL …>`), `<!-`, `<![` or
    `<?` and a letter, and ends at the next `>`. Any other `<` stays (`<3`, `a < b`), and so does one with no `>` behind
    it. What looks like a tag but is no known element, has no attribute and is more than one word (`x<y and y>z`,
    `<http://example.com>`) is not thrown away: a blank after its `<` makes it text for every reader.
    Tags that come about by the removal of others (`<<b>b>`) go as well.
    """
    if "<" not in text or ">" not in text:
        return text
    kept: list[str] = []
    open_: list[int] = []  # where in `kept` a "<" stands that nothing has closed yet
    for piece in _PIECES.findall(text):
        if piece == ">":
            _close(kept, open_)
            continue
        if piece == "<":
            open_.append(len(kept))
        kept.append(piece)
    return "".join(kept)


def _close(kept: list[str], open_: list[int]) -> None:
    """Take in a `>`: remove the innermost tag that it ends, or, where it ends none, keep it.

    Every `<` is looked at once over the whole text, and what is behind it once: a kept `>` decides all those before it.
    """
    end = last = len(kept)
    has_attribute = False
    while open_:
        start = open_.pop()
        inner = "".join(kept[start + 1 : end])
        has_attribute = has_attribute or _ATTRIBUTE.search(inner) is not None
        if _BEGINS_TAG.match(inner):
            if has_attribute or _is_tag(inner, whole=end == last):
                del kept[start:]
                return
            kept[start] = "< "
        end = start
    kept.append(">")


def _is_tag(inner: str, *, whole: bool) -> bool:
    """Whether `<inner>` is a tag rather than text between two signs. whole: `inner` reaches up to the `>`."""
    name = _ELEMENT.match(inner)
    if name is None:
        return True  # "/", "!" or "?" and a letter, or a comment
    rest = inner[name.end() :]
    if rest.strip(" \t\n/") == "":
        return whole
    return rest[0] in " \t\n/" and name[0].lower() in _ELEMENTS
