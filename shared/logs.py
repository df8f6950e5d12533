"""How processes log: structlog, as text for a console or as one JSON object a line. Logs hold ids, never secrets.

Texts from outside (close reasons, names, paths) may hold escape sequences that act on a terminal, or characters that
reverse what is displayed. They are escaped in both formats.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

import msgspec
import structlog

from shared.request_ids import add_ids

QUIET_LOGGERS = ("werkzeug", "alembic.runtime.plugins", "geventwebsocket")  # only their warnings and errors are logged
# Control characters (C0 but for tab and newline, DEL, C1), line and paragraph separators, bidirectional controls,
# invisible marks and lone surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def configure_logs(log_format: str) -> None:
    """Send the records of structlog and of the standard library to standard error, in one format.

    structlog writes directly. Through the standard library's logging a record would cost four times as much, which was
    a tenth of all CPU when thousands of games came back.

    Args:
        log_format: `console` or `json`.
    """
    processors: list[structlog.typing.Processor] = [
        add_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        escape_unprintable,
    ]
    rendering: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_encode_json)]
        if log_format == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*processors, *rendering],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def escape_unprintable(_logger: object, _method: str, record: Any) -> Any:
    """Escape the characters in a record's texts that a terminal would act on or not display (a structlog processor)."""
    for key, value in record.items():
        if isinstance(value, str) and _UNPRINTABLE.search(value):
            record[key] = _UNPRINTABLE.sub(_escape, value)
    return record


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _encode_json(value: object, **_options: object) -> str:
    try:
        return msgspec.json.encode(value, enc_hook=str).decode()
    except (UnicodeEncodeError, TypeError):  # a lone surrogate inside a list, or keys of other types
        return json.dumps(value, default=str, skipkeys=True)
