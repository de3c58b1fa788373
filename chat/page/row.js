// One row of a conversation: a message, or one of ours on its way.

import {arrange, copyOf, made, mark, write} from "../kit/dom.js";
import {clock, day, dayKey, full, shortClock} from "./dates.js";
import {Editor} from "./editor.js";
import {fly} from "./flag.js";
import {showReactions} from "./reactions.js";
import {nodesOf} from "./text.js";

/** @typedef {import("./api.js").Message} Message */
/** @typedef {import("./log.js").Pending} Pending */
/** @typedef {{key: string, user: number, at: number, message: Message | null, pending: Pending | null}} Item */
/**
 * @typedef {object} Setting
 * @property {import("./people.js").People} people
 * @property {Item | undefined} before          the row above
 * @property {boolean} isFirstNew
 * @property {boolean} isEditing
 * @property {boolean} hasDays                  whether days are told apart
 * @property {boolean} inThread
 * @property {Acts} acts
 */
/**
 * @typedef {object} Acts
 * @property {(message: Message, emoji: string, on: boolean) => void} react
 * @property {(message: Message) => void} openThread
 * @property {(message: Message, text: string) => Promise<void>} save
 * @property {() => void} stopEditing
 * @property {(pending: Pending) => void} retry
 * @property {(pending: Pending) => void} rewrite
 * @property {(pending: Pending) => void} discard
 */

// A person who goes on speaking within this needs no new heading.
const CONTINUED_MS = 5 * 60_000;

/** @param {Message} message @returns {Item} */
export const itemOf = (message) =>
  ({key: `${message.user}:${message.client_msg_id}`, user: message.user, at: message.at, message, pending: null});

/** @param {Pending} pending @param {number} me @returns {Item} the same key as the message it becomes */
export const itemOfPending = (pending, me) =>
  ({key: `${me}:${pending.client_msg_id}`, user: me, at: pending.at, message: null, pending});

export class RowView {
  constructor() {
    const {root, parts} = copyOf("row");
    this.root = root;
    this.parts = parts;
    /** @type {Item | null} */
    this.item = null;
    /** What was drawn last; nothing is drawn twice. @type {unknown[]} */
    this.drawn = [];
    /** @type {Editor | null} */
    this.editor = null;
    /** @type {Acts | null} */
    this.acts = null;
    const act = (/** @type {string} */ part, /** @type {() => void} */ fn) => parts[part].addEventListener("click", fn);
    act("replies", () => this.item?.message && this.acts?.openThread(this.item.message));
    act("retry", () => this.item?.pending && this.acts?.retry(this.item.pending));
    act("rewrite", () => this.item?.pending && this.acts?.rewrite(this.item.pending));
    act("discard", () => this.item?.pending && this.acts?.discard(this.item.pending));
  }

  /** @param {Item} item @param {Setting} setting */
  show(item, setting) {
    const {before, people, isFirstNew, isEditing, hasDays} = setting;
    this.item = item;
    this.acts = setting.acts;
    const isNewDay = hasDays && (!before || dayKey(before.at) !== dayKey(item.at));
    const isContinued = !isNewDay && !isFirstNew && before?.user === item.user && item.at - before.at < CONTINUED_MS;
    const wanted = [item.message, item.pending, people.version, isNewDay, isContinued, isFirstNew, isEditing];
    if (wanted.every((each, i) => each === this.drawn[i])) {
      return;
    }
    this.drawn = wanted;
    const {parts, root} = this;
    const {message, pending} = item;
    mark(root, "data-seq", message ? String(message.seq) : null);
    mark(root, "data-id", message ? String(message.id) : null);
    mark(root, "data-state", pending ? pending.failed === null ? "pending" : "failed" : null);
    mark(root, "data-continued", isContinued ? "" : null);
    mark(root, "data-deleted", message?.deleted ? "" : null);
    mark(root, "data-calls", message?.mentions.includes(people.me.id) && item.user !== people.me.id ? "" : null);
    parts.day.hidden = !isNewDay;
    write(parts.day, isNewDay ? day(item.at) : "");
    parts.fresh.hidden = !isFirstNew;
    fly(parts.flag, item.user);
    write(parts.author, people.nameOf(item.user));
    write(parts.short, shortClock(item.at));
    write(parts.when, clock(item.at));
    for (const time of [parts.short, parts.when]) {
      mark(time, "datetime", new Date(item.at).toISOString());
      mark(time, "title", full(item.at));
    }
    this.#showText(item, setting);
    showReactions(parts.reactions, message, people, setting.acts);
    const replies = message?.replies ?? 0;
    parts.replies.hidden = setting.inThread || !replies;
    write(parts.replies, replies === 1 ? "1 reply" : `${replies} replies`);
    parts.trouble.hidden = pending?.failed == null;
    write(parts.why, pending?.failed ? `Not sent. ${pending.failed}` : "");
  }

  /** @param {Item} item @param {Setting} setting */
  #showText({message, pending}, {people, isEditing, acts}) {
    if (isEditing && message) {
      if (!this.editor) {
        this.editor = new Editor(message, acts);
        this.parts.text.replaceChildren(this.editor.root);
        this.editor.focus();
      }
      return;
    }
    this.editor = null;
    if (message?.deleted) {
      this.parts.text.replaceChildren(document.createTextNode("This was deleted."));
      return;
    }
    const nodes = nodesOf((message ?? pending)?.text ?? "", (name) => people.whose(name));
    if (message?.edited_at) {
      const note = made("span", " (edited)", "edited");
      note.title = full(message.edited_at);
      nodes.push(note);
    }
    this.parts.text.replaceChildren(...nodes);
  }
}

/** Rows by key, made once and shown again. */
export class Rows {
  constructor() {
    /** @type {Map<string, RowView>} */
    this.views = new Map();
  }

  /** @param {Item} item @param {Setting} setting @returns {HTMLElement} */
  show(item, setting) {
    let view = this.views.get(item.key);
    if (!view) {
      view = new RowView();
      this.views.set(item.key, view);
    }
    view.show(item, setting);
    return view.root;
  }

  /** Forget those that are not in the page. */
  prune() {
    for (const [key, {root}] of this.views) {
      if (!root.isConnected) {
        this.views.delete(key);
      }
    }
  }

  clear() {
    this.views.clear();
  }

  /** @param {Element} parent @param {Item[]} items @param {(item: Item, i: number) => Setting} settingOf */
  fill(parent, items, settingOf) {
    arrange(parent, items.map((item, i) => this.show(item, settingOf(item, i))));
    this.prune();
  }

  /** @param {Element | null} element inside a row @returns {RowView | null} */
  at(element) {
    const root = element?.closest(".row");
    return [...this.views.values()].find((view) => view.root === root) ?? null;
  }
}
