"""Python's websockets and Redis on asyncio: each message goes through Redis, and is sent to every receiver once.

    python asyncio_redis.py PORT REDIS_URL

Speaks fanbench's plain protocol: {"op": "sub", "ch": …} and {"op": "pub", "ch": …, "msg": …}.
"""

from __future__ import annotations

import asyncio
import json
import sys

import redis.asyncio
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

sockets: dict[str, ServerConnection] = {}


async def main(port: int, redis_url: str) -> None:
    """Serve until killed."""
    client = redis.asyncio.Redis.from_url(redis_url)
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    await pubsub.psubscribe("bench:*")

    async def handle(socket: ServerConnection) -> None:
        key = str(socket.id)
        try:
            async for text in socket:
                message = json.loads(text)
                if message["op"] == "sub":
                    sockets[key] = socket
                    await socket.send('{"op":"ok"}')
                else:
                    message["from"] = key
                    await client.publish("bench:" + message["ch"], json.dumps(message))
        except ConnectionClosed:
            pass
        finally:
            sockets.pop(key, None)

    async with serve(handle, "127.0.0.1", port, compression=None, ping_interval=None, backlog=4096):
        async for published in pubsub.listen():
            message = json.loads(published["data"])
            text = json.dumps({"op": "msg", "ch": message["ch"], "msg": message["msg"]})
            broadcast((socket for key, socket in sockets.items() if key != message["from"]), text)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
