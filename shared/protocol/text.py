"""Cleaning of text that people type. Source: docs/protocol.md, §2 ("Text that people type") and §8. Pure: no I/O."""

import re

from shared.errors import Invalid

_SURROGATE = re.compile("[\ud800-\udfff]")

# Terminal commands, and characters that chat does not need. One pass removes every ESC and C1 control, so the remaining
# text cannot form a new escape. A control string (such as OSC) must end before the next control character, which keeps
# the scan linear. If it does not end, only its introducer is removed.
_CONTROLS = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
    "|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x00-\x1f\x7f-\x9f]*+(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]*[0-~]?"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+"
)

# Characters that show nothing: Unicode's Default_Ignorable_Code_Point, annotation marks, and the blank Braille pattern.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)

_PIECES = re.compile(r"[<>]|[^<>]+")
_BEGINS_TAG = re.compile(r"[/!?]?[A-Za-z]|!-|!\[")
_ELEMENT = re.compile(r"[A-Za-z][A-Za-z0-9_:.-]*")
_ATTRIBUTE = re.compile(r"""[\w-]\s*=\s*["'\w#&/]""")

# Elements that form a tag even if only bare words follow the name (`<color red>`, `<script async>`). One-letter names
# are left out on purpose: `<b and c>` is usually arithmetic.
_ELEMENTS = frozenset(
    """
    audio bold br button center color colour dest destination details dialog div em embed expire font form frame
    gauge high hr html iframe image img input italic li link marquee meta music nobr object ol option pass pre
    relocate script select send small sound source span stat strike strong style sub sup support svg table td
    textarea th title tr tt ul underline user var version video
    """.split()  # noqa: SIM905 (a page of quotes reads worse)
)


def has_lone_surrogate(text: str) -> bool:
    """Return whether the text contains half of a character, which UTF-8 cannot encode (docs/protocol.md, §8)."""
    # Only text that is not printable can contain one, and this test is fast for ordinary lines.
    return not text.isprintable() and _SURROGATE.search(text) is not None


def has_nul(text: str) -> bool:
    """Return whether the text contains U+0000, which records must not contain (docs/protocol.md, §8)."""
    return "\x00" in text


def strip_invisible(text: str) -> str:
    """Return the text without characters that show nothing, such as joiners, variation selectors and fillers."""
    return text if text.isascii() else INVISIBLE.sub("", text)


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing: it is empty, or has only white space and invisible characters."""
    return not strip_invisible(text).strip()


def clean_text(text: str) -> str:
    """Remove tags, escapes, bidirectional overrides, and control characters except tab and newline.

    Takes linear time. Cleaning the result again changes nothing. `strip_tags` says what counts as a tag.

    Raises:
        Invalid: The text contains a lone surrogate.
    """
    if "<" not in text and text.isprintable():
        return text
    if _SURROGATE.search(text):
        raise Invalid("the text holds half of a character (a lone surrogate)")
    return strip_tags(_CONTROLS.sub("", text))


def clean_line(text: str) -> str:
    """Clean the text, and collapse each run of white space into one space. Trims both ends."""
    return " ".join(clean_text(text).split())


def strip_tags(text: str) -> str:
    """Remove MXP and HTML tags. The result contains nothing that a client could mistake for a tag.

    A tag starts with `<` immediately followed by a letter, by `/`, `!` or `?` and a letter (`<b>`, `</a>`, `<!EL …>`),
    or by `!-` or `![`, and ends at the next `>`. Any other `<` stays (`<3`, `a < b`), and so does one that no `>`
    follows. Text that looks like a tag stays if it is not a known element, has no attribute and is not a single word
    (`x<y and y>z`, `<http://example.com>`): a space after its `<` makes it text for every client. If removing a tag
    forms another one (`<<b>b>`), that is removed too.
    """
    if "<" not in text or ">" not in text:
        return text
    kept: list[str] = []
    open_: list[int] = []  # positions in `kept` of each "<" that is not closed yet
    for piece in _PIECES.findall(text):
        if piece == ">":
            _close(kept, open_)
            continue
        if piece == "<":
            open_.append(len(kept))
        kept.append(piece)
    return "".join(kept)


def _close(kept: list[str], open_: list[int]) -> None:
    """Process a `>`: remove the innermost tag that it closes, or keep the `>` if it closes none.

    Each `<` is examined only once, because a kept `>` settles all of those before it. So a text takes linear time.
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
    """Return whether `<inner>` is a tag rather than text between two signs. whole: `inner` extends to the `>`."""
    name = _ELEMENT.match(inner)
    if name is None:
        return True  # a letter after "/", "!" or "?", or a comment
    rest = inner[name.end() :]
    if rest.strip(" \t\n/") == "":
        return whole
    return rest[0] in " \t\n/" and name[0].lower() in _ELEMENTS
