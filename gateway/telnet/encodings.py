"""The encodings of games. Text is read as UTF-8 where it is valid, and otherwise in the encoding of the game.

Most games send ASCII or UTF-8, some an older encoding, and some both, on different lines. So each line is decided anew.
Decoding never fails: what fits neither becomes U+FFFD.
"""

from __future__ import annotations

import codecs

from shared.encodings import ENCODINGS

_FALLBACK = "cp1252"
_CHARSETS = {  # how games write them in CHARSET and MSSP, without separators
    "utf8": "utf-8",
    "usascii": "utf-8",
    "ascii": "utf-8",
    "iso88591": "cp1252",
    "latin1": "cp1252",
    "windows1252": "cp1252",
    "iso88592": "iso8859-2",
    "latin2": "iso8859-2",
    "ibm437": "cp437",
    "koi8r": "koi8-r",
    "windows1251": "cp1251",
    "gb2312": "gbk",
    "gb18030": "gbk",
    "euckr": "euc-kr",
    "ksc56011987": "euc-kr",
    "shiftjis": "shift_jis",
}


def find_encoding(name: str) -> str | None:
    """Return the encoding that a game means by a name, one of ENCODINGS. None if it is none of them."""
    key = "".join(char for char in name.lower() if char.isalnum())
    return _CHARSETS.get(key) or next(
        (code for code in ENCODINGS if key == code.replace("-", "").replace("_", "")), None
    )


class Decoder:
    """Decodes a stream.

    Args:
        encoding: The game's encoding, one of `shared.encodings.ENCODINGS`.
    """

    def __init__(self, encoding: str = "utf-8") -> None:
        self._pending = b""
        self._legacy: codecs.IncrementalDecoder | None = None  # in the middle of a line that is not UTF-8
        self.encoding = encoding

    def decode(self, data: bytes) -> str:
        """Return the text of these bytes. Keeps the start of an incomplete character for the next call."""
        parts = []
        for line in data.splitlines(keepends=True) if b"\n" in data else [data]:
            parts.append(self._decode(line))
            if line.endswith(b"\n"):
                parts.append(self.flush())
        return "".join(parts)

    def flush(self) -> str:
        """Return what is left of an incomplete character, at the end of a line or a prompt."""
        text = ""
        if self._legacy is not None:
            text = self._legacy.decode(b"", final=True)
            self._legacy = None
        elif self._pending:
            text = self._pending.decode(self._legacy_encoding, "replace")
        self._pending = b""
        return text

    @property
    def _legacy_encoding(self) -> str:
        return _FALLBACK if self.encoding == "utf-8" else self.encoding

    def _decode(self, data: bytes) -> str:
        if self._legacy is not None:
            return self._legacy.decode(data)
        data = self._pending + data
        self._pending = b""
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data":  # a character that goes on in the next bytes
                self._pending = data[error.start :]
                return data[: error.start].decode()
        self._legacy = codecs.getincrementaldecoder(self._legacy_encoding)("replace")
        return self._legacy.decode(data)


def encode(text: str, encoding: str) -> bytes:
    """Return a text in an encoding, with `?` for what it lacks."""
    return text.encode(encoding, "replace")
