// A page's log of one channel, driven line by line: ["method", …] in, its answer and what it now shows out.

import {createInterface} from "node:readline";
import {Log} from "./log.js";
import {ThreadLog} from "./threadlog.js";

const [me, maxRows, root] = process.argv.slice(2).map(Number);
const log = new Log(me, maxRows);
const thread = new ThreadLog(root);

const acts = {
  event(event) {
    const applied = log.event(event);
    applied.forEach((each) => thread.event(each));
    return applied.map(({seq}) => seq);
  },
  thread(messages, asOf) {
    thread.page(messages, asOf);
    log.recent.filter(({seq}) => seq > asOf).forEach((event) => thread.event(event));
  },
  listed: (channel) => log.counts.listed(channel),
  read: (frame) => log.counts.read(frame),
};

for await (const line of createInterface({input: process.stdin})) {
  const [name, ...given] = JSON.parse(line);
  const answer = (acts[name] ?? log[name].bind(log))(...given);
  const {position, isLoaded, moreBefore, moreAfter, isAtTail, hasHole, counts} = log;
  process.stdout.write(JSON.stringify({
    answer: answer ?? null, position, isLoaded, moreBefore, moreAfter, isAtTail, hasHole,
    rows: log.rows.map(({message}) => message), pending: [...log.pending.values()],
    unread: counts.unread, mentions: counts.mentions, isStale: counts.isStale,
    root: thread.root?.message ?? null, replies: thread.replies.map(({message}) => message),
  }) + "\n");
}
