// The list of channels and conversations: a link for each, with how much is unread and whether it calls us.

import {arrange, copyOf, made, mark, write} from "../kit/dom.js";
import {at} from "./base.js";
import {fly} from "./flag.js";

/** @typedef {import("./chat.js").Entry} Entry */
/** @typedef {import("./people.js").People} People */

/** The others of a conversation. @param {Entry} entry @param {People} people */
const othersOf = (entry, people) => (entry.members ?? []).filter((id) => id !== people.me.id);

/** What a channel is called. @param {Entry} entry @param {People} people @returns {string} */
export function titleOf(entry, people) {
  if (entry.info.kind !== "dm") {
    return entry.info.name || `channel ${entry.id}`;
  }
  if (entry.members === null) {
    return "…";
  }
  const others = othersOf(entry, people);
  return others.length ? others.map((id) => people.nameOf(id)).join(", ") : `${people.nameOf(people.me.id)} (you)`;
}

/** In the order they are shown. @param {Iterable<Entry>} entries @param {People} people */
export function inOrder(entries, people) {
  const mine = [...entries].filter(({isMember, info}) => isMember && !info.archived && (info.name || info.kind === "dm"));
  const byTitle = (/** @type {Entry} */ a, /** @type {Entry} */ b) =>
    titleOf(a, people).localeCompare(titleOf(b, people)) || a.id - b.id;
  return {
    channels: mine.filter(({info}) => info.kind !== "dm").sort(byTitle),
    directs: mine.filter(({info}) => info.kind === "dm").sort(byTitle),
  };
}

/** Unread ones that somebody waits for: mentions, and all that is said to us alone. @param {Entry} entry */
export const callsOf = ({info, log}) => info.kind === "dm" ? log.counts.unread : log.counts.mentions;

/** A sign before the name. @param {Element} mark_ @param {Entry} entry @param {People} people */
export function showMark(mark_, entry, people) {
  const others = othersOf(entry, people);
  if (entry.info.kind !== "dm") {
    mark_.textContent = entry.info.kind === "private" ? "◆" : "#";
  } else if (others.length > 1) {
    mark_.textContent = String(others.length + 1);
  } else {
    const flag = mark_.querySelector(".flag") ?? made("i", "", "flag");
    const user = others[0] ?? people.me.id;
    fly(flag, user, people.presenceOf(user));
    if (!flag.isConnected) {
      mark_.replaceChildren(flag);
    }
  }
}

export class Channels {
  /** @param {Record<string, any>} parts of the shell @param {People} people @param {(id: number) => string} draftOf */
  constructor(parts, people, draftOf) {
    this.parts = parts;
    this.people = people;
    this.draftOf = draftOf;
    /** @type {Map<number, {root: any, parts: Record<string, any>}>} */
    this.links = new Map();
  }

  /** @param {import("./chat.js").Chat} chat @param {number | null} open */
  show(chat, open) {
    const {channels, directs} = inOrder(chat.entries.values(), this.people);
    const draw = (/** @type {Entry} */ entry) => this.#link(entry, entry.id === open);
    arrange(this.parts.channels, channels.map(draw));
    arrange(this.parts.directs, directs.map(draw));
    const trouble = chat.listTrouble && !chat.isListed ? `${chat.listTrouble} Trying again…` : "";
    const empty = chat.isListed ? channels.length ? "" : "You are in no channel yet." : "Loading…";
    write(this.parts.none, trouble || empty);
    this.parts.none.hidden = !(trouble || empty);
  }

  /** @param {Entry} entry @param {boolean} isOpen */
  #link(entry, isOpen) {
    let link = this.links.get(entry.id);
    if (!link) {
      link = copyOf("channel");
      link.parts.link.href = at(`c/${entry.id}`);
      this.links.set(entry.id, link);
    }
    const {parts, root} = link;
    const {unread, mentions} = entry.log.counts;
    const calls = callsOf(entry);
    const hasUnread = unread > 0 || mentions > 0;
    showMark(parts.mark, entry, this.people);
    write(parts.name, titleOf(entry, this.people));
    mark(parts.link, "aria-current", isOpen ? "page" : null);
    mark(parts.link, "data-has-unread", hasUnread ? "" : null);
    mark(parts.link, "data-calls", calls ? "" : null);
    parts.badge.hidden = !hasUnread;
    mark(parts.badge, "data-unread", hasUnread ? String(unread) : null);
    mark(parts.badge, "data-mentions", calls ? String(mentions) : null);
    write(parts.badge, hasUnread ? short(calls || unread) : "");
    mark(parts.badge, "title", hasUnread ? spoken(unread, mentions) : null);
    const presence = entry.info.kind === "dm" && othersOf(entry, this.people).length === 1
      ? `, ${this.people.presenceOf(othersOf(entry, this.people)[0])}` : "";
    write(parts.state, `${entry.info.kind === "private" ? ", private" : ""}${presence}${hasUnread ? `, ${spoken(unread, mentions)}` : ""}`);
    mark(parts.badge, "aria-hidden", "true");
    parts.draft.hidden = isOpen || !this.draftOf(entry.id);
    return root;
  }
}

/** @param {number} n */
const short = (n) => n > 999 ? "999+" : String(n);

/** @param {number} unread @param {number} mentions */
const spoken = (unread, mentions) => `${unread} unread${mentions ? `, ${mentions === 1 ? "1 mention" : `${mentions} mentions`}` : ""}`;
