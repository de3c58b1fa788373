// The tab's title: where one is, how often one is called, or that something is unread.

import {callsOf, titleOf} from "./channels.js";

/** @typedef {import("./chat.js").Entry} Entry */

/** @param {Iterable<Entry>} entries @param {import("./people.js").People} people @param {Entry | null} open */
export function showTitle(entries, people, open) {
  const mine = [...entries].filter(({isMember}) => isMember);
  const calls = mine.reduce((sum, entry) => sum + callsOf(entry), 0);
  const isUnread = mine.some(({log}) => log.counts.unread > 0);
  const place = open?.isMember ? `${titleOf(open, people)} · chat` : "chat";
  const title = `${calls ? `(${calls}) ` : isUnread ? "• " : ""}${place}`;
  if (document.title !== title) {
    document.title = title;
  }
}
