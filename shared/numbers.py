"""Reads numbers that operators type into settings: ASCII digits only.

`int` and `float` alone also accept `1_0`, `+5`, `nan` and the digits of every script, which are mistakes here.
"""

from __future__ import annotations

import re

_WHOLE = re.compile(r"[0-9]{1,20}")
_DECIMAL = re.compile(r"([0-9]{1,20}(\.[0-9]{1,20})?|\.[0-9]{1,20})(e-?[0-9]{1,2})?", re.IGNORECASE)


def whole_number(text: str) -> int | None:
    """Return the number that a text consists of; None if it is not a whole number without a sign."""
    return int(text) if _WHOLE.fullmatch(text) else None


def decimal_number(text: str) -> float | None:
    """Return the number that a text consists of, such as `2`, `.5` or `3e1`; None if it is anything else."""
    return float(text) if _DECIMAL.fullmatch(text) else None
