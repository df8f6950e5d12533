"""What filters do to a line. Pure: no session, and no clock of its own; the worker and the test box run the same code.

Patterns are RE2's, whose time is linear in the line's length whatever the pattern. All words and patterns are one set,
so that a line that has none of them costs one pass.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple
from unicodedata import normalize

import re2

from shared.errors import Invalid

PATTERN_LONGEST = 200
SIZE_AT_MOST = 20_000
"""Steps of all words and patterns together, as RE2 counts them: a worker's sockets wait while they are compiled, some
40 ms for so many. A plain letter is about one step, `\\pL` is 1,200."""
_ONE_PATTERN_BYTES = 256 * 1024
_SET_BYTES = 64 * 1024 * 1024
_PLAYERS_AT_MOST = 20_000
_LINES_KEPT = 100
_LINK = re2.compile(r"(?i)(?:https?://|www\.)[^\s<>]+")
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)
"""What takes no room and shows nothing: soft hyphens, joiners, marks of direction, variation selectors."""
_RANK = {"": 0, "flag": 1, "mask": 2, "refuse": 3}


@dataclass(frozen=True, slots=True)
class Rule:
    """A filter as it is applied; the fields are those of `shared.models.moderation.Filter`."""

    id: int
    kind: str
    text: str
    count: int
    seconds: int
    action: str


class Verdict(NamedTuple):
    """What happens to a line. action: empty, flag, mask or refuse: the hardest of all rules that it meets. text: the
    line, masked where a rule says so. flags: the ids of the rules that want it looked at. refused_by: one of those that
    refuse it."""

    action: str
    text: str
    flags: tuple[int, ...] = ()
    refused_by: Rule | None = None


def compile_pattern(kind: str, text: str) -> Any:
    """The expression of a word or a pattern. Raises Invalid (field `text`) with what is wrong."""
    options = re2.Options()
    options.max_mem = _ONE_PATTERN_BYTES
    options.log_errors = False
    options.case_sensitive = False
    try:
        found = re2.compile(_expression(kind, text), options)
    except (re2.error, UnicodeError, ValueError) as error:
        if "too large" in _said(error):
            raise Invalid(
                "this pattern is too large: make its counts smaller, or write [a-z] for \\pL", field="text"
            ) from None
        raise Invalid(f"this pattern does not work: {_said(error)}", field="text") from None
    if found.search("") is not None:
        raise Invalid("this would match every line, an empty one too", field="text")
    return found


def _expression(kind: str, text: str) -> str:
    return re2.escape(_UNSEEN.sub("", text)) if kind == "word" else text


def size_of(rules: Iterable[Rule]) -> int:
    """The steps of all words and patterns of these; of those that do not work, none."""
    return sum(expression.programsize for _, expression in _compiled(rules))


def _compiled(rules: Iterable[Rule]) -> Iterator[tuple[Rule, Any]]:
    for rule in rules:
        if rule.kind in ("word", "pattern"):
            with suppress(Invalid):
                yield rule, compile_pattern(rule.kind, rule.text)


def _said(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


class FilterSet:
    """Rules compiled once. `check` is told who speaks and when, for rules on floods and repeats.

    left_out: the ids of those that could not be saved today, but are there: too large, or more than SIZE_AT_MOST.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        rules = list(rules)
        self._texts: list[tuple[Rule, Any]] = []
        size = 0
        for rule, expression in _compiled(rules):
            if size + expression.programsize <= SIZE_AT_MOST:
                size += expression.programsize
                self._texts.append((rule, expression))
        self._links = [rule for rule in rules if rule.kind == "link"]
        self._paces = [rule for rule in rules if rule.kind in ("flood", "repeat")]
        kept = {rule.id for rule, _ in self._texts}
        self.left_out = [rule.id for rule in rules if rule.kind in ("word", "pattern") and rule.id not in kept]
        self._set = _compile_set([rule for rule, _ in self._texts]) if self._texts else None
        self._said: OrderedDict[tuple[str, str], deque[tuple[float, int]]] = OrderedDict()
        self._longest = max((rule.seconds for rule in self._paces), default=0)

    def __bool__(self) -> bool:
        return bool(self._texts or self._links or self._paces)

    def check(self, text: str, *, who: tuple[str, str], at: float) -> Verdict:
        """What happens to a line that `who` (peer key, player's key) says at `at` (seconds). It counts as said only
        once it is noted."""
        # Filters are kept with composed letters. A line in which nothing is masked stays as it came.
        composed = masked = normalize("NFC", text)
        met = []
        for rule, spans in self._find_texts(composed):
            met.append(rule)
            if rule.action == "mask":
                masked = _mask(masked, spans)
        said = text if masked == composed else masked
        met += self._find_paces(said, who, at)
        return Verdict(
            max((rule.action for rule in met), key=_RANK.__getitem__, default=""),
            said,
            tuple(rule.id for rule in met if rule.action == "flag"),
            next((rule for rule in met if rule.action == "refuse"), None),
        )

    def note(self, text: str, *, who: tuple[str, str], at: float) -> None:
        """Somebody said this, here or on another worker."""
        if not self._paces:
            return
        lines = self._said.get(who)
        if lines is None:
            lines = self._said[who] = deque(maxlen=_LINES_KEPT)
            if len(self._said) > _PLAYERS_AT_MOST:
                self._said.popitem(last=False)
        else:
            self._said.move_to_end(who)
        lines.append((at, _mark(text)))
        while lines[0][0] < at - self._longest:
            lines.popleft()

    def take_over(self, other: FilterSet) -> None:
        """Go on counting where another set, of the rules before a change, has come to."""
        if self._paces:
            self._said = other._said

    def _find_texts(self, text: str) -> Iterator[tuple[Rule, list[tuple[int, int]]]]:
        if self._set is not None:
            found = self._find_in(text)
            if _UNSEEN.search(text) is not None:
                # Words are looked for in what is seen alone, patterns in both: they may be about what is not.
                found = {number: spans for number, spans in found.items() if self._texts[number][0].kind == "pattern"}
                places = [at for at, character in enumerate(text) if not _UNSEEN.match(character)]
                for number, spans in self._find_in("".join(text[at] for at in places)).items():
                    found.setdefault(number, []).extend((places[start], places[end - 1] + 1) for start, end in spans)
            for number, spans in found.items():
                yield self._texts[number][0], spans
        if self._links:
            links = [match.span() for match in _LINK.finditer(text)]
            for rule in self._links:
                if len(links) > rule.count:
                    yield rule, links[rule.count :]

    def _find_in(self, text: str) -> dict[int, list[tuple[int, int]]]:
        numbers = () if self._set is None else self._set.Match(text) or ()
        met = {number: _spans(self._texts[number][0], self._texts[number][1], text) for number in numbers}
        return {number: spans for number, spans in met.items() if spans}

    def _find_paces(self, text: str, who: tuple[str, str], at: float) -> Iterator[Rule]:
        for rule in self._paces:
            said = [line for line in self._said.get(who, ()) if line[0] > at - rule.seconds]
            if rule.kind == "repeat":
                mark = _mark(text)
                said = [line for line in said if line[1] == mark]
            if len(said) >= rule.count:
                yield rule


def _mark(text: str) -> int:
    """The same for lines that look the same."""
    return hash(_UNSEEN.sub("", text).casefold())


def _spans(rule: Rule, expression: Any, text: str) -> list[tuple[int, int]]:
    """Where a rule's text is in a line; for a word, only where it stands by itself."""
    spans = [match.span() for match in expression.finditer(text) if match.start() < match.end()]
    if rule.kind == "word":
        spans = [(start, end) for start, end in spans if _is_whole(text, start, end)]
    return spans


def _is_whole(text: str, start: int, end: int) -> bool:
    before = text[start - 1 : start] if start else ""
    return not (_is_letter(before) or _is_letter(text[end : end + 1]))


def _is_letter(character: str) -> bool:
    return character.isalnum() or character == "_"


def _mask(text: str, spans: list[tuple[int, int]]) -> str:
    for start, end in spans:
        text = text[:start] + "*" * (end - start) + text[end:]
    return text


def _compile_set(rules: list[Rule]) -> Any:
    options = re2.Options()
    options.max_mem = _SET_BYTES
    options.log_errors = False
    options.case_sensitive = False
    made = re2.Set.SearchSet(options)
    for rule in rules:
        made.Add(_expression(rule.kind, rule.text))
    made.Compile()
    return made
