"""Workers are found whether their sockets are in the instance folder or, since its path is long, elsewhere."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from shared import takeover
from shared.settings import MAX_SOCKET_PATH

WORKER_ID = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize("too_long_by", [-1, 0, 1, 5, 30])
def test_a_worker_is_found_whatever_the_length_of_the_path(tmp_path: Path, too_long_by: int) -> None:
    short = len(os.fsencode(takeover.socket_path(tmp_path, WORKER_ID).name)) + 1
    room = MAX_SOCKET_PATH + too_long_by - short - len(os.fsencode(tmp_path)) - 1
    instance = tmp_path / ("x" * max(1, room))
    instance.mkdir()
    path = takeover.socket_path(instance, WORKER_ID)
    path.parent.mkdir(exist_ok=True)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            assert [worker.pid for worker in takeover.list_workers(instance)] == [os.getpid()]
    finally:
        if path.parent != instance:
            shutil.rmtree(path.parent)
