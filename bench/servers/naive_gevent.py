"""gevent-websocket the obvious way: encode and send each message once for every receiver.

    python naive_gevent.py PORT

Speaks fanbench's plain protocol: {"op": "sub", "ch": …} and {"op": "pub", "ch": …, "msg": …}.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402

from gevent.pywsgi import WSGIServer  # noqa: E402
from geventwebsocket.exceptions import WebSocketError  # noqa: E402
from geventwebsocket.handler import WebSocketHandler  # noqa: E402
from geventwebsocket.websocket import WebSocket  # noqa: E402

channels: dict[str, set[WebSocket]] = {}


def application(environ, start_response):  # type: ignore[no-untyped-def]
    """Serve one client until it leaves."""
    socket = environ["wsgi.websocket"]
    try:
        while (text := socket.receive()) is not None:
            message = json.loads(text)
            subscribers = channels.setdefault(message["ch"], set())
            if message["op"] == "sub":
                subscribers.add(socket)
                socket.send(json.dumps({"op": "ok"}))
                continue
            for receiver in list(subscribers):
                if receiver is not socket:
                    receiver.send(json.dumps({"op": "msg", "ch": message["ch"], "msg": message["msg"]}))
    except WebSocketError:
        pass
    finally:
        for subscribers in channels.values():
            subscribers.discard(socket)
    return []


if __name__ == "__main__":
    listener = ("127.0.0.1", int(sys.argv[1]))
    WSGIServer(listener, application, handler_class=WebSocketHandler, backlog=4096, log=None).serve_forever()
