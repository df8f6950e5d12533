"""Apply filters to a line. Pure: no session and no clock, so that workers and the preview run the same code.

Patterns are RE2's, which match in time linear in the line's length. All words and patterns are compiled into one set:
a line that matches none of them costs one pass.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple
from unicodedata import normalize

import re2

from shared.errors import Invalid
from shared.protocol.text import INVISIBLE, strip_invisible

PATTERN_LONGEST = 200
MAX_SIZE = 20_000
"""The limit of all words and patterns together, in RE2's program steps.

A worker's sockets wait while they are compiled: about 40 ms for this many. A letter is about one step, `\\pL` 1,200.
"""
_ONE_PATTERN_BYTES = 256 * 1024
_SET_BYTES = 64 * 1024 * 1024
_MAX_PLAYERS = 20_000
_LINES_KEPT = 100
_LINK = re2.compile(r"(?i)(?:https?://|www\.)[^\s<>]+")
_RANK = {"": 0, "flag": 1, "mask": 2, "refuse": 3}


@dataclass(frozen=True, slots=True)
class Rule:
    """A filter as workers apply it; the fields are those of `shared.models.moderation.Filter`."""

    id: int
    kind: str
    text: str
    count: int
    seconds: int
    action: str


class Verdict(NamedTuple):
    """What happens to a line.

    Attributes:
        action: Empty, `flag`, `mask` or `refuse`: the strictest of all matching rules.
        text: The line, masked where a rule says so.
        flags: The ids of the rules that report the line to moderators.
        refused_by: One of the rules that refuse the line.
    """

    action: str
    text: str
    flags: tuple[int, ...] = ()
    refused_by: Rule | None = None


def compile_pattern(kind: str, text: str) -> Any:
    """Return the compiled expression of a word or pattern. Raises Invalid (field `text`), saying what is wrong."""
    options = re2.Options()
    options.max_mem = _ONE_PATTERN_BYTES
    options.log_errors = False
    options.case_sensitive = False
    try:
        expression = re2.compile(_expression(kind, text), options)
    except (re2.error, UnicodeError, ValueError) as error:
        if "too large" in _said(error):
            raise Invalid(
                "this pattern is too large: use smaller counts, or [a-z] instead of \\pL", field="text"
            ) from None
        raise Invalid(f"this pattern does not work: {_said(error)}", field="text") from None
    if expression.search("") is not None:
        raise Invalid("this would match every line, even an empty one", field="text")
    return expression


def _expression(kind: str, text: str) -> str:
    return re2.escape(strip_invisible(text)) if kind == "word" else text


def size_of(rules: Iterable[Rule]) -> int:
    """Return the program steps of all words and patterns in these rules. Invalid ones count as none."""
    return sum(expression.programsize for _, expression in _compiled(rules))


def _compiled(rules: Iterable[Rule]) -> Iterator[tuple[Rule, Any]]:
    for rule in rules:
        if rule.kind in ("word", "pattern"):
            with suppress(Invalid):
                yield rule, compile_pattern(rule.kind, rule.text)


def _said(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


SaidLately = tuple[str, str, list[tuple[float, int]]]
"""A peer key, a player key, and what the player has said: the times in seconds, and a number for each line's text."""


class FilterSet:
    """Compiled rules, and what was said recently, for rules on floods and repeats.

    Attributes:
        left_out: The ids of stored rules that are not applied, since they are invalid or exceed MAX_SIZE.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        rules = list(rules)
        self._texts: list[tuple[Rule, Any]] = []
        size = 0
        for rule, expression in _compiled(rules):
            if size + expression.programsize <= MAX_SIZE:
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
        """Return what happens to a line. It counts for floods and repeats only once `note` is called.

        Args:
            who: The speaker, as (peer key, player's key).
            at: The time in seconds.
        """
        # Filters are stored in NFC. Return the original line if nothing in it is masked.
        composed = masked = normalize("NFC", text)
        matching = []
        for rule, spans in self._find_texts(composed):
            matching.append(rule)
            if rule.action == "mask":
                masked = _mask(masked, spans)
        said = text if masked == composed else masked
        matching += self._find_paces(said, who, at)
        return Verdict(
            max((rule.action for rule in matching), key=_RANK.__getitem__, default=""),
            said,
            tuple(rule.id for rule in matching if rule.action == "flag"),
            next((rule for rule in matching if rule.action == "refuse"), None),
        )

    def note(self, text: str, *, who: tuple[str, str], at: float) -> None:
        """Remember that somebody said this, on this worker or another."""
        if not self._paces:
            return
        lines = self._said.get(who)
        if lines is None:
            lines = self._said[who] = deque(maxlen=_LINES_KEPT)
            if len(self._said) > _MAX_PLAYERS:
                self._said.popitem(last=False)
        else:
            self._said.move_to_end(who)
        lines.append((at, _mark(text)))
        while lines[0][0] < at - self._longest:
            lines.popleft()

    def take_over(self, other: FilterSet) -> None:
        """Take over what was said recently from the set of the rules before a change."""
        if self._paces:
            self._said = other._said

    def export_said(self) -> list[SaidLately]:
        """Return what was said recently, for another process."""
        return [(peer, player, list(lines)) for (peer, player), lines in self._said.items()]

    def restore_said(self, said: Iterable[SaidLately]) -> None:
        """Continue with what another process has counted."""
        if self._paces:
            self._said = OrderedDict(((peer, key), deque(lines, maxlen=_LINES_KEPT)) for peer, key, lines in said)

    def _find_texts(self, text: str) -> Iterator[tuple[Rule, list[tuple[int, int]]]]:
        if self._set is not None:
            matches = self._find_in(text)
            if INVISIBLE.search(text) is not None:
                # Look for words in the visible text only. Patterns may be about invisible characters: look in both.
                matches = {
                    number: spans for number, spans in matches.items() if self._texts[number][0].kind == "pattern"
                }
                places = [at for at, character in enumerate(text) if not INVISIBLE.match(character)]
                for number, spans in self._find_in("".join(text[at] for at in places)).items():
                    matches.setdefault(number, []).extend((places[start], places[end - 1] + 1) for start, end in spans)
            for number, spans in matches.items():
                yield self._texts[number][0], spans
        if self._links:
            links = [match.span() for match in _LINK.finditer(text)]
            for rule in self._links:
                if len(links) > rule.count:
                    yield rule, links[rule.count :]

    def _find_in(self, text: str) -> dict[int, list[tuple[int, int]]]:
        numbers = () if self._set is None else self._set.Match(text) or ()
        matching = {number: _spans(self._texts[number][0], self._texts[number][1], text) for number in numbers}
        return {number: spans for number, spans in matching.items() if spans}

    def _find_paces(self, text: str, who: tuple[str, str], at: float) -> Iterator[Rule]:
        for rule in self._paces:
            said = [line for line in self._said.get(who, ()) if line[0] > at - rule.seconds]
            if rule.kind == "repeat":
                mark = _mark(text)
                said = [line for line in said if line[1] == mark]
            if len(said) >= rule.count:
                yield rule


def has_link(text: str) -> bool:
    """Return whether a line contains a link."""
    return _LINK.search(text) is not None


def _mark(text: str) -> int:
    """Return a number that is equal for lines that look the same, in every process."""
    seen = strip_invisible(text).casefold().encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(seen, digest_size=8).digest(), "big")


def _spans(rule: Rule, expression: Any, text: str) -> list[tuple[int, int]]:
    """Return where a rule matches in a line; a word only where it is not part of a longer word."""
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
    patterns = re2.Set.SearchSet(options)
    for rule in rules:
        patterns.Add(_expression(rule.kind, rule.text))
    patterns.Compile()
    return patterns
