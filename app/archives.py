"""Send an archive that is made on request: first into a temporary file, then to the browser.

While the archive is made, the database is read in one transaction, which must not wait for a slow browser.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import datetime
from typing import IO

from flask import Response, send_file

from shared.db import utc_now
from shared.errors import Unavailable

MEMORY_BYTES = 1024**2
"""Larger archives are on the disk until they are sent."""


def send_archive(write: Callable[[IO[bytes], datetime], str]) -> Response:
    """Return a zip file as a download.

    Args:
        write: Writes the archive into the file, as of the time, and returns what it is about, for the file's name.

    Raises:
        Unavailable: The disk is full.
    """
    now = utc_now()
    file = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115  the response closes it
    try:
        name = write(file, now)
        size = file.tell()
        file.seek(0)
    except OSError as error:
        file.close()
        raise Unavailable(f"the archive cannot be written: {error.strerror}. Please try again later") from None
    except BaseException:
        file.close()
        raise
    response = send_file(
        file,
        mimetype="application/zip",
        as_attachment=True,
        download_name=f"gossip-{name}-{now:%Y-%m-%d}.zip",
    )
    response.content_length = size
    response.headers["Cache-Control"] = "no-store"
    return response
