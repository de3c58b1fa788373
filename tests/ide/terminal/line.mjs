// The page's Line in Node, on a real server, over sockets that are cut at random: what was shown, in the end.
// node line.mjs URL SEED CUTS TYPED: one JSON object when the line has ended.

import {Line} from "./line.js";

const [url, seed, cuts] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
let typed = process.argv[5] ?? "";
let state = seed;
const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
Math.random = () => random() / 50;          // no patience with the back-off

let shown = [], dials = 0, clears = 0, exit = null;
const states = [], leads = [];
const pending = [];                         // a screen that takes its time, as xterm does

const screen = {
  write: (bytes, told) => pending.push({bytes: Buffer.from(bytes), told}),
  clear: () => pending.push({clear: true}),
  resize: () => {},
  lead: (leads_) => leads.push(leads_),
  exit: (status) => { exit = status; },
  state: (now) => {
    if (states.at(-1) !== now) {
      states.push(now);
    }
    if (now === "live" && typed) {
      line.type(typed);
      typed = "";
    }
  },
};
const draw = () => {
  if (states.at(-1) !== "live") {
    line.type("typed at a screen that is not how it is there");
  }
  for (const {bytes, told, clear} of pending.splice(0, 1 + Math.floor(random() * 20))) {
    if (clear) {
      shown = [];
      clears++;
    } else {
      shown.push(bytes);
      told();
    }
  }
  if (states.at(-1) === "ended" && pending.length === 0) {
    process.stdout.write(JSON.stringify({text: Buffer.concat(shown).toString("latin1"), dials, clears, exit, states, leads, received: line.received}), () => process.exit(0));
    return;
  }
  setTimeout(draw, random() * 4);
};

const open = (to, protocol) => {
  const socket = new WebSocket(to, protocol);
  dials++;
  if (dials <= cuts) {
    let left = (dials === 1 && typed ? 4 : 1) + Math.floor(random() * 6);      // what was typed must get through: it is sent once
    socket.addEventListener("message", () => --left === 0 && socket.close());
  }
  return socket;
};
const line = new Line(url, screen, open);
line.attach();
draw();
