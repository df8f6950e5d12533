"""The Mud Server Status Protocol: what a game says about itself (option 70, and as text). Source: mudstandards.org."""

from __future__ import annotations

VAR, VAL = 1, 2
MAX_VARIABLES = 300


def parse(content: bytes) -> dict[str, list[str]]:
    """Return the values of each variable, in the order sent: the last one is the default.

    Bears what servers send: several VALs for one VAR, repeated VARs, underscores for spaces, lower case, Latin-1.
    """
    variables: dict[str, list[str]] = {}
    name: str | None = None
    start, marker = 0, 0
    for position, byte in enumerate(content + bytes([VAR])):
        if byte not in (VAR, VAL):
            continue
        text = _decode(content[start:position])
        if marker == VAR:
            name = clean_name(text)
        elif marker == VAL and name and (name in variables or len(variables) < MAX_VARIABLES):
            variables.setdefault(name, []).append(text)
        start, marker = position + 1, byte
    return variables


def clean_name(text: str) -> str:
    """Return a variable's name as the standard writes it: upper case, with spaces."""
    return " ".join(text.upper().replace("_", " ").split())


def _decode(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("cp1252", "replace")
    return clean_value(text)


def clean_value(text: str) -> str:
    """Return a value without control characters and spaces around it."""
    return "".join(char for char in text if char.isprintable()).strip()
