// Node's ws and ioredis: each message goes through Redis, and is sent to every receiver once.
//
//     node ws_redis.js PORT REDIS_SOCKET
//
// Speaks fanbench's plain protocol: {"op": "sub", "ch": …} and {"op": "pub", "ch": …, "msg": …}.
"use strict";
const { createRequire } = require("module");
const load = createRequire(process.cwd() + "/");
const { WebSocketServer } = load("ws");
const Redis = load("ioredis");

const [port, path] = process.argv.slice(2);
const publisher = new Redis({ path });
const subscriber = new Redis({ path });
const sockets = new Map();
let last = 0;

subscriber.psubscribe("bench:*");
subscriber.on("pmessage", (pattern, topic, body) => {
  const message = JSON.parse(body);
  const text = JSON.stringify({ op: "msg", ch: message.ch, msg: message.msg });
  for (const [id, socket] of sockets) if (id !== message.from) socket.send(text);
});

new WebSocketServer({ host: "127.0.0.1", port: Number(port), perMessageDeflate: false, backlog: 4096 }).on(
  "connection",
  (socket) => {
    const id = ++last;
    socket.on("message", (data) => {
      const message = JSON.parse(data);
      if (message.op === "sub") {
        sockets.set(id, socket);
        socket.send('{"op":"ok"}');
      } else {
        publisher.publish("bench:" + message.ch, JSON.stringify({ ...message, from: id }));
      }
    });
    socket.on("close", () => sockets.delete(id));
    socket.on("error", () => {});
  },
);
