// node-pty and ws, as their pages show it: each socket a program of its own. node ide_gateway.mjs PORT; what runs is in the URL.

import {createRequire} from "node:module";

const require = createRequire(`${process.env.BENCH_NODE_FOLDER}/`);
const {WebSocketServer} = require("ws");
const pty = require("@lydell/node-pty");

const server = new WebSocketServer({port: Number(process.argv[2]), host: "127.0.0.1", perMessageDeflate: false});
server.on("connection", (socket, request) => {
  const argv = new URL(request.url, "http://x").searchParams.getAll("argv");
  const program = pty.spawn(argv[0], argv.slice(1), {name: "xterm-256color", cols: 80, rows: 24, encoding: null});
  program.onData((data) => socket.send(data));
  program.onExit(() => setTimeout(() => socket.close(), 500));        // its last output may come behind its exit
  socket.on("message", (data) => program.write(data));
  socket.on("close", () => program.kill());
});
