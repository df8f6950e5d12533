"""New files that only their owner can read, and that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import Conflict, Unavailable


@contextmanager
def private_file(target: Path, *, is_replacing: bool) -> Iterator[Path]:
    """Yield the path of an empty draft, which becomes the target at the end. After an error, nothing is left.

    Args:
        is_replacing: Overwrite an existing file.

    Raises:
        Conflict: The target exists.
        Unavailable: It cannot be written.
    """
    if not is_replacing and target.exists():
        raise _exists(target)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # mode 0600
    except OSError as error:
        raise Unavailable(f"{target} cannot be written: {error.strerror}") from None
    draft = Path(name)
    try:
        os.close(handle)
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        if is_replacing:
            draft.replace(target)
        else:
            os.link(draft, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        raise Unavailable(f"{target} cannot be written: {error}") from None
    finally:
        draft.unlink(missing_ok=True)


def _exists(target: Path) -> Conflict:
    return Conflict(f"{target} already exists: use --replace or another name")
