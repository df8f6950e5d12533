"""The table of settings in docs/operating.md. `python -m shared.settings_docs` writes it."""

from __future__ import annotations

import re
from pathlib import Path

from shared.settings import Settings

PAGE = Path(__file__).parents[1] / "docs" / "operating.md"
HEAD = "| name | default | meaning | refused |\n| --- | --- | --- | --- |\n"


def settings_table() -> str:
    """Return the table in Markdown."""
    rows = (f"| `{name}` | {row.shown_default} | {row.meaning} | {row.refused} |\n" for name, row in Settings.table())
    return HEAD + "".join(rows)


def with_settings_table(page: str) -> str:
    """Return the page with its table of settings replaced by the current one."""
    return re.sub(re.escape(HEAD) + r"(\|.*\n)*", lambda match: settings_table(), page)


if __name__ == "__main__":
    PAGE.write_text(with_settings_table(PAGE.read_text()))
