"""The encodings of text games, by Python's name, with the name that people see. Owners and players choose from them."""

from __future__ import annotations

ENCODINGS = {
    "utf-8": "UTF-8",
    "cp1252": "Western (Latin-1, Windows)",
    "iso8859-2": "Central European (Latin-2)",
    "cp437": "DOS (code page 437)",
    "koi8-r": "Cyrillic (KOI8-R)",
    "cp1251": "Cyrillic (Windows)",
    "gbk": "Simplified Chinese (GBK)",
    "big5": "Traditional Chinese (Big5)",
    "euc-kr": "Korean (EUC-KR)",
    "shift_jis": "Japanese (Shift JIS)",
}
