"""The site and the worker as processes."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Mapping

from tests.support.forking import ForkServer
from tests.support.processes import ServerProcess, clean_environment, free_port
from tests.support.waiting import wait_until

SECRET_KEY = "a key for tests, long enough to be taken"


def get(port: int, path: str, *, seconds: float = 5.0) -> tuple[int, str]:
    """Return the status and the body of a GET; the status is 0 if nothing answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


class RunningWorker(ServerProcess):
    """`python -m worker`. `port` and `url` are available once it is ready."""

    fork_server = ForkServer("worker.__main__")
    port = 0

    def __init__(
        self, settings: dict[str, str], constants: Mapping[str, float] | None = None, takeover: int | None = None
    ) -> None:
        """Start a worker.

        Args:
            constants: Constants of the worker with other values, by path: `{"worker.jobs.jobs.POLL_SECONDS": 1}`.
            takeover: The process to take over from.
        """
        command = ["worker"]
        if constants:
            command = ["tests.support.altered_worker", *(f"{path}={number}" for path, number in constants.items())]
        if takeover is not None:
            command += ["--takeover", str(takeover)]
        super().__init__([sys.executable, "-m", *command], env=clean_environment(**settings))

    def wait_until_ready(self) -> None:
        self.port = int(self.wait_for_event("listening")["port"])

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/socket"


class RunningGateway(ServerProcess):
    """`python -m gateway`. `port` is available once it is ready."""

    fork_server = ForkServer("gateway.__main__")
    port = 0

    def __init__(self, settings: dict[str, str]) -> None:
        super().__init__([sys.executable, "-m", "gateway"], env=clean_environment(**settings))

    def wait_until_ready(self) -> None:
        self.port = int(self.wait_for_event("listening")["port"])


class RunningSite(ServerProcess):
    """gunicorn, as in the Procfile."""

    fork_server = ForkServer("gunicorn.__main__", "app", "server.worker")

    def __init__(self, settings: dict[str, str], port: int | None = None) -> None:
        self.port = port or free_port()
        settings = {**settings, "WEB_PORT": str(self.port)}
        super().__init__([sys.executable, "-m", "gunicorn", "wsgi:app"], env=clean_environment(**settings))

    def wait_until_ready(self) -> None:
        wait_until(self._answers, seconds=20, what="the site answers")

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"the site ended:\n{self.output}"
        return get(self.port, "/_health")[0] != 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"
