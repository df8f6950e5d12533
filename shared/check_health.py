"""`python3 -m shared.check_health PORT`: the health check of a container, which has no curl.

Ends with status 0 if the process on the port answers at all. It answers 503 while the database or Redis is down, and
then a restart would only cost its sockets.
"""

from __future__ import annotations

import http.client
import sys

TIMEOUT_SECONDS = 8.0


def is_alive(port: int) -> bool:
    """Return whether the process on this port answers `/_health`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/_health")
        return connection.getresponse().status in (200, 503)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_alive(int(sys.argv[1])) else 1)
