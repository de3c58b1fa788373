// The chat gateway on npm's ws: `node chat_gateway.mjs PORT REDIS_PORT PREFIX`, from a folder whose node_modules has ws.
// It does what chat_gateways.py says of the others.
import { createRequire } from "node:module";
import net from "node:net";

const { WebSocketServer } = createRequire(`${process.cwd()}/`)("ws");
const [port, redisPort, prefix] = process.argv.slice(2);
const HEAD_BYTES = 40;
const sockets = new Map();      // channel -> Set of sockets
const heads = new Map();        // channel -> last seq, once its subscription stands
const waiting = new Map();      // channel -> [what to do then]

/** The whole pushes at the front of `data` as [kind, topic, payload], and the bytes that they take (RESP2). */
function pushes(data) {
    const found = [];
    let at = 0;
    for (;;) {
        const parts = [];
        let place = at;
        for (let n = 0; n < 4; n++) {
            const end = data.indexOf("\r\n", place);
            if (end < 0) return [found, at];
            if (n === 0 || data[place] === 58) {
                place = end + 2;
                continue;
            }
            const length = Number(data.latin1Slice(place + 1, end));
            place = end + 2 + length + 2;
            if (place > data.length) return [found, at];
            parts.push(data.subarray(end + 2, end + 2 + length));
        }
        found.push(parts);
        at = place;
    }
}

const redis = net.connect({ host: "127.0.0.1", port: Number(redisPort), noDelay: true });
redis.on("close", () => process.exit(1));
let rest = Buffer.alloc(0);
redis.on("data", (piece) => {
    const data = rest.length ? Buffer.concat([rest, piece]) : piece;
    const [found, taken] = pushes(data);
    rest = data.subarray(taken);
    for (const [kind, topic, payload] of found) {
        const channel = Number(topic.latin1Slice(prefix.length + 2));
        if (kind.latin1Slice() === "message") {
            heads.set(channel, Number(payload.readBigUInt64LE(16)));
            const frame = payload.subarray(HEAD_BYTES);
            for (const socket of sockets.get(channel) ?? []) socket.send(frame, { binary: false });
        } else {
            if (!heads.has(channel)) heads.set(channel, 0);
            for (const done of waiting.get(channel) ?? []) done();
            waiting.delete(channel);
        }
    }
});

/** Call `done` once all channels are subscribed to. */
function subscribe(channels, done) {
    const missing = channels.filter((channel) => !heads.has(channel));
    let left = missing.length;
    if (left === 0) done();
    for (const channel of missing) {
        if (!waiting.has(channel)) {
            waiting.set(channel, []);
            redis.write(`SUBSCRIBE ${prefix}c:${channel}\r\n`);
        }
        waiting.get(channel).push(() => { if (--left === 0) done(); });
    }
}

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port), backlog: 4096, perMessageDeflate: false });
server.on("connection", (socket, request) => {
    const channels = request.url.split("channel=")[1].split(",").map(Number);
    for (const channel of channels) {
        if (!sockets.has(channel)) sockets.set(channel, new Set());
        sockets.get(channel).add(socket);
    }
    socket.on("error", () => {});
    socket.on("close", () => channels.forEach((channel) => sockets.get(channel).delete(socket)));
    subscribe(channels, () => socket.send(JSON.stringify({
        type: "ready", channels: channels.map((channel) => ({ id: channel, head: heads.get(channel) })),
    })));
});
