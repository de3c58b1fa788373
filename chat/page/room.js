// The open channel: its head, its conversation, the line that says who types, the box to write in.

import {made, mark, write} from "../kit/dom.js";
import {titleOf} from "./channels.js";
import {Composer} from "./composer.js";
import {itemOf, itemOfPending, Rows} from "./row.js";
import {LogWindow} from "./window.js";

/** @typedef {import("./chat.js").Entry} Entry */
/** @typedef {import("./row.js").Item} Item */

const SLACK_ROWS = 500;         // beyond the log's limit, so that it is not trimmed at each message
const FOUND_MS = 2500;

export class Room {
  /** @param {import("./app.js").App} app @param {Record<string, any>} parts of the shell */
  constructor(app, parts) {
    this.app = app;
    this.parts = parts;
    /** @type {Entry | null} */
    this.entry = null;
    /** Why there is no entry to show. @type {string | null} */
    this.trouble = null;
    /** A message to be brought into view once it is known. @type {number | null} */
    this.target = null;
    this.seenAtEnd = 0;
    /** @type {Item[]} */
    this.items = [];
    this.rows = new Rows();
    this.window = new LogWindow(parts.log, parts.rows, {
      draw: (item, before) => this.rows.show(item, this.#settingOf(item, before)),
      drawn: () => this.rows.prune(),
      more: (where) => this.#more(where),
      moved: () => this.#moved(),
    });
    this.composer = new Composer(app.people, "Send", {
      send: (text) => this.#send(text),
      draft: (text) => this.entry && app.drafts.set(this.entry.id, null, text),
      typing: () => this.entry && app.typing(this.entry.id),
      editLast: () => app.editLast(this.items),
      nearby: () => new Set(this.entry?.members ?? []),
    });
    parts.composer.append(this.composer.root);
    parts.latest.addEventListener("click", () => this.toLatest());
    app.watchRows(parts.log, this.rows);
  }

  /** @param {Entry | null} entry @param {number | null} seq to be shown */
  open(entry, seq = null) {
    if (entry !== this.entry) {
      this.entry = entry;
      this.window.clear();
      this.rows.clear();
      if (entry) {
        this.app.reader.enter(entry);
        if (seq === null && entry.log.moreAfter) {
          entry.log.unload();           // one left it while reading old messages; now it begins at the end
        }
        this.composer.open(...this.#labels(entry), this.app.drafts.get(entry.id, null));
      }
    }
    this.trouble = null;
    this.target = seq;
  }

  /** @param {Entry} entry @returns {[string, string]} */
  #labels(entry) {
    const title = titleOf(entry, this.app.people);
    const to = entry.info.kind === "dm" ? title : `#${title}`;
    return [`Message ${to}`, `Write to ${to}`];
  }

  show() {
    const {entry, parts} = this;
    const isIn = entry !== null && entry.isMember;
    parts.page.hidden = !isIn;
    parts.blank.hidden = isIn;
    parts.tools.hidden = !isIn;
    parts.head.hidden = entry === null;
    write(parts.title, entry ? titleOf(entry, this.app.people) : "");
    write(parts.topic, entry?.info.topic ?? "");
    if (!isIn) {
      this.#showBlank();
      return;
    }
    const {log} = entry;
    mark(parts.log, "aria-label", `Conversation in ${titleOf(entry, this.app.people)}`);
    this.composer.rename(...this.#labels(entry));
    this.composer.setOff(entry.info.archived, "This channel is archived: nobody writes here any more");
    if (!log.isLoaded && entry.loading === null && entry.trouble === null) {
      this.app.chat.load(entry, "anew", this.target);
    }
    if (this.window.isAtEnd && log.isAtTail && log.rows.length > log.maxRows + SLACK_ROWS) {
      log.trim("last");
    }
    this.items = log.rows.filter(({message}) => message.root === null).map(({message}) => itemOf(message));
    if (log.isAtTail || !log.isLoaded) {
      const pending = [...log.pending.values()].filter(({root}) => root === null);
      this.items.push(...pending.map((each) => itemOfPending(each, this.app.people.me.id)));
    }
    this.#edges(entry);
    this.window.show(this.items, {hasBefore: log.moreBefore, hasAfter: log.moreAfter});
    this.#reveal();
    this.window.fillUp();
    this.#showLatest();
    this.#showTyping(entry);
    this.app.reader.look(entry, this.window.isAtEnd);
  }

  /** @param {Entry} entry */
  #edges(entry) {
    const {log, loading, trouble} = entry;
    const {older, newer} = this.parts;
    mark(this.parts.log, "aria-busy", String(loading !== null));
    mark(this.parts.log, "data-empty", log.isLoaded && !this.items.length ? "" : null);
    if (trouble) {
      this.#say(log.isLoaded ? newer : older, trouble, "Try again", () => {
        entry.trouble = null;
        this.app.changed();
      });
    } else if (!log.isLoaded) {
      write(older, "Loading…");
    } else if (log.moreBefore) {
      write(older, loading === "before" ? "Loading older ones…" : "");
    } else {
      const title = titleOf(entry, this.app.people);
      const begins = entry.info.kind === "dm" ? `Here begins what you and ${title} say to each other.`
        : `Here begins ${title}. ${this.items.length ? "" : "Say the first word."}`;
      write(older, begins);
    }
    if (!trouble || !log.isLoaded) {
      write(newer, loading === "after" ? "Loading newer ones…" : "");
    }
  }

  /** @param {HTMLElement} place @param {string} text @param {string} action @param {() => void} act */
  #say(place, text, action, act) {
    if (place.dataset.says !== text || !place.querySelector("button")) {
      const button = made("button", action, "small");
      button.type = "button";
      button.addEventListener("click", act);
      place.replaceChildren(document.createTextNode(`${text} `), button);
      place.dataset.says = text;
    }
  }

  #showBlank() {
    const {parts, entry, app} = this;
    const buttons = parts["blank-buttons"];
    const isPublic = entry !== null && entry.info.kind === "public" && entry.info.name !== "";
    const text = this.trouble ?? (entry === null ? app.chat.isListed ? "Choose a channel on the left, join one, or start a new one." : "Loading…"
      : isPublic ? `You are not in #${entry.info.name}. ${entry.info.topic ?? ""}` : app.chat.isListed ? "You are not in this channel." : "Loading…");
    write(parts["blank-text"], text);
    const wanted = isPublic && !entry.info.archived ? `Join ${entry.info.name}` : "";
    if (buttons.dataset.join !== wanted) {
      buttons.dataset.join = wanted;
      buttons.replaceChildren();
      if (wanted && entry) {
        const button = made("button", wanted, "primary");
        button.type = "button";
        button.addEventListener("click", () => app.join(entry.id).catch((error) => {
          this.trouble = error.message;
          app.changed();
        }));
        buttons.append(button);
      }
    }
  }

  /** @param {Item} item @param {Item | undefined} before @returns {import("./row.js").Setting} */
  #settingOf(item, before) {
    const {app} = this;
    const entry = /** @type {Entry} */ (this.entry);
    const from = app.reader.newFrom.get(entry.id);
    const {message} = item;
    const isFirstNew = from !== undefined && message !== null && message.seq > from &&
      message.user !== app.people.me.id && (before?.message?.seq ?? 0) <= from;
    return {people: app.people, before, isFirstNew, hasDays: true, inThread: false, isEditing: app.isEditing(item, this),
      acts: app.actsFor(entry)};
  }

  /** @param {"before" | "after"} where */
  async #more(where) {
    const {entry} = this;
    if (entry && entry.loading === null && entry.trouble === null && entry.log.isLoaded) {
      await this.app.chat.load(entry, where);
      entry.log.trim(where === "before" ? "first" : "last");
    }
  }

  #moved() {
    this.#showLatest();
    if (this.entry?.isMember) {
      this.app.reader.look(this.entry, this.window.isAtEnd);
    }
  }

  #showLatest() {
    const {latest} = this.parts;
    const log = this.entry?.log;
    const isAtEnd = this.window.isAtEnd;
    const newest = log?.position ?? 0;
    if (isAtEnd) {
      this.seenAtEnd = newest;
    }
    const fresh = log ? log.counts.notes.filter(({seq, isRoot, deleted}) => seq > this.seenAtEnd && isRoot && !deleted).length : 0;
    latest.hidden = isAtEnd;
    mark(latest, "data-new", fresh ? "" : null);
    write(this.parts["latest-text"], fresh ? `${fresh} new` : "Latest");
  }

  /** @param {Entry} entry */
  #showTyping(entry) {
    const {people} = this.app;
    const names = people.typingIn(entry.id).map((id) => people.nameOf(id));
    const texts = ["", `${names[0]} is writing…`, `${names[0]} and ${names[1]} are writing…`];
    write(this.parts.typing, texts[names.length] ?? "Several people are writing…");
  }

  #reveal() {
    const {entry, target} = this;
    if (target === null || !entry?.log.isLoaded || entry.loading === "anew") {
      return;
    }
    this.target = null;
    const known = entry.log.rows;
    const isThere = known.length && target >= known[0].message.seq && target <= /** @type {any} */ (known.at(-1)).message.seq;
    if (!isThere && !this.hasAsked) {
      this.hasAsked = true;             // once: it may be gone
      this.target = target;
      this.app.chat.load(entry, "anew", target);
      return;
    }
    this.hasAsked = false;
    const row = this.window.reveal(target);
    if (row) {
      mark(row, "data-target", "");
      setTimeout(() => mark(row, "data-target", null), FOUND_MS);
      row.focus({preventScroll: true});
    }
  }

  /** @param {string} text */
  #send(text) {
    const {entry, app} = this;
    if (entry) {
      app.reader.answered(entry);
      app.outbox.add(entry.id, text, null);
      this.toLatest();
    }
  }

  /** To the newest message, whether or not it is known. */
  toLatest() {
    const log = this.entry?.log;
    if (log?.moreAfter) {
      log.unload();
      this.window.clear();
      this.app.changed();
    }
    this.window.toEnd();
  }
}
