from gevent import monkey; monkey.patch_all()  # noqa: E702, I001  # fmt: skip
# ruff: noqa: E402

"""A server process with the worker's transport and a handler for tests. Prints its port, and runs until it is killed.

Messages are JSON: {"do": NAME, …} calls the method `do_NAME` of `Handler`. For load generators, the server also handles
the events `authenticate` (joins "bench") and `channels/send` of the real protocol. `--limits` takes a JSON object with
the fields of `Limits` to change.
"""

import argparse
import json
import os
import resource
import sys
from typing import Any

import gevent

from worker.wire.broadcasts import Frames
from worker.wire.fanout import Fanout
from worker.wire.frames import frame_text
from worker.wire.groups import ANY_CHANNEL, ChannelTopic
from worker.wire.newcomers import Newcomers
from worker.wire.reader import Limits
from worker.wire.server import SocketServer
from worker.wire.transport import Transport
from worker.wire.upgrade import Endpoint
from worker.wire.wire import Wire

closings: list[list[Any]] = []


def dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def topic(name: Any) -> Any:
    return ANY_CHANNEL if name == "*" else ChannelTopic(name[1:]) if name.startswith("#") else name


def hog(seconds: float) -> None:
    """Open files until no descriptors are left, and close them after this many seconds."""
    descriptors: list[int] = []
    try:
        while True:
            descriptors.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        gevent.sleep(seconds)
    for descriptor in descriptors:
        os.close(descriptor)


class Handler:
    __slots__ = ("listener_key", "transport", "variant")

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        if not options.strangers:
            transport.trust()
        self.listener_key: str | None = None
        self.variant = 0

    def received(self, data: bytes) -> None:
        message = json.loads(data)
        if "event" in message:
            self.bench(message)
        else:
            getattr(self, "do_" + message.pop("do"))(**message)

    def control_frames(self, count: int) -> bool:
        return True

    def closed(self, code: int | None, reason: str) -> None:
        closings.append([code, reason, self.listener_key])
        fanout.forget(self)

    def say(self, value: Any) -> None:
        self.transport.send(frame_text(dump(value)))

    def bench(self, message: dict[str, Any]) -> None:
        if message["event"] == "authenticate":
            self.listener_key = message["payload"]["client_id"]
            fanout.join(self, [ChannelTopic("bench")])
            self.say({"event": "authenticate", "status": "success"})
        elif message["event"] == "channels/send":
            payload = message["payload"] | {"game": "G"}
            ref = "7c4a8d09-ca37-42af-b6a3-8d5b8f0c1e52"
            frame = frame_text(dump({"event": "channels/broadcast", "ref": ref, "payload": payload}))
            fanout.broadcast(ChannelTopic("bench"), Frames.same(frame), except_listener=self.listener_key)

    def do_echo(self, value: Any = None) -> None:
        self.say({"echo": value})

    def do_size(self, text: str) -> None:
        self.say({"size": len(text)})

    def do_join(self, topics: list[str], peer: str | None = None, variant: int = 0) -> None:
        self.listener_key, self.variant = peer, variant
        fanout.join(self, [topic(name) for name in topics])
        self.say({"joined": topics})

    def do_leave(self, topics: list[str]) -> None:
        fanout.leave(self, [topic(name) for name in topics])
        self.say({"left": topics})

    def do_broadcast(self, to: str, value: Any, mine: bool = False, times: int = 1, pad: int = 0) -> None:
        for number in range(times):
            content = {"to": to, "value": value, "number": number, "pad": "x" * pad}
            frames = Frames(lambda variant, content=content: frame_text(dump(content | {"variant": variant})))
            fanout.broadcast(topic(to), frames, except_listener=self.listener_key if mine else None)
            if number % 100 == 99:
                gevent.sleep(0)

    def do_mixed(self, to: str, times: int) -> None:
        for number in range(times):
            if number % 3:
                fanout.broadcast(topic(to), Frames.same(frame_text(dump({"number": number}))))
            else:
                self.say({"number": number})

    def do_close(self, code: int, reason: str = "as asked") -> None:
        self.say({"last": True})
        self.transport.close(code, reason)
        self.say({"never": "sent"})

    def do_burst(self, messages: int, size: int, below: int) -> None:
        frame = frame_text(b'"' + b"b" * (size - 2) + b'"')
        for _ in range(messages):
            if not self.transport.wait_below(below, 20):
                return
            self.transport.send(frame)
        self.say({"burst": messages})

    def do_flood(self, messages: int, size: int) -> None:
        for _ in range(messages):
            self.transport.send(frame_text(b"f" * size))

    def do_fail(self) -> None:
        raise RuntimeError("asked to fail")

    def do_block(self, seconds: float) -> None:
        gevent.sleep(seconds)
        self.say({"blocked": seconds})

    def do_hog(self, seconds: float) -> None:
        self.say({"hogging": seconds})
        gevent.spawn_later(0.1, hog, seconds)

    def do_stats(self) -> None:
        with open("/proc/self/status") as status:
            rss = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        self.say(
            {
                "closings": closings,
                "connections": wire.connections,
                "queue_drops": wire.queue_drops,
                "stall_drops": wire.stall_drops,
                "readers": len(wire._readers),
                "deliveries": fanout.deliveries,
                "rss": rss,
                "newcomers": len(wire.newcomers),
            }
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--limits", default="{}")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--handshake-seconds", type=float, default=20)
    parser.add_argument("--max-handshakes", type=int, default=1024)
    parser.add_argument("--per-address", type=int, default=10_000)
    parser.add_argument("--descriptors", type=int)
    parser.add_argument("--strangers", action="store_true", help="nobody ever authenticates")
    options = parser.parse_args()
    fanout = Fanout()
    if options.descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (options.descriptors, options.descriptors))
    wire = Wire(fanout, Limits(**json.loads(options.limits)), Newcomers(per_address=options.per_address))
    server = SocketServer(
        "127.0.0.1",
        options.port,
        wire=wire,
        endpoints={"/socket": Endpoint(Handler)},
        health=lambda: (True, {"status": "ok"}),
        metrics=lambda: b"deliveries %d\n" % fanout.deliveries,
        handshake_seconds=options.handshake_seconds,
        max_handshakes=options.max_handshakes,
    )
    try:
        server.start()
    except OSError as error:
        sys.exit(str(error))
    print(server.port, flush=True)
    gevent.get_hub().join()
