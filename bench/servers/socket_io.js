// socket.io: a room for each channel, in one process.
//
//     node socket_io.js PORT
//
// Speaks fanbench's events: ["sub", channel] and ["pub", {channel, name, message}].
"use strict";
const { createRequire } = require("module");
const load = createRequire(process.cwd() + "/");
const { Server } = load("socket.io");
const http = require("http");

const server = http.createServer();
const io = new Server(server, { transports: ["websocket"], perMessageDeflate: false, pingTimeout: 60000 });
io.on("connection", (socket) => {
  socket.on("sub", (channel) => {
    socket.join(channel);
    socket.emit("ok");
  });
  socket.on("pub", (message) => socket.to(message.channel).emit("msg", message));
});
server.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
