// One channel as its log tells it: which messages are known, how far we are, what is pending.
//
// No clock, no network, no page: what comes in decides what is known, whatever the order and however often it comes.
// Each message carries the seq up to which its state is known (`asOf`); older news about it changes nothing.

import {Counts} from "./counts.js";

/** @typedef {import("./api.js").Message} Message */
/** @typedef {import("./api.js").Page} Page */
/** @typedef {{seq: number, kind: string, at: number, actor: number, channel: number, data: any}} LogEvent */
/** @typedef {{message: Message, asOf: number}} Row */
/** @typedef {{client_msg_id: string, channel: number, text: string, root: number | null, at: number,
 *   failed: string | null}} Pending */

// Events kept to bring pages up to date that were read a moment before them.
const RECENT = 512;
// Beyond it a hole is better filled over HTTP, which brings the held ones again.
const MAX_HELD = 2048;
// Rows kept in memory; those far from the reader go, and come back as pages.
const MAX_ROWS = 3000;

export class Log {
  /** @param {number} me @param {number} maxRows */
  constructor(me, maxRows = MAX_ROWS) {
    this.me = me;
    this.maxRows = maxRows;
    /** Everything up to here has been applied; null before the first word about it. @type {number | null} */
    this.position = null;
    /** Messages and replies, ascending by seq, without a gap between the first and the last. @type {Row[]} */
    this.rows = [];
    this.isLoaded = false;
    this.moreBefore = false;
    this.moreAfter = false;
    this.counts = new Counts(me);
    /** Ours, not yet in the log; oldest first. @type {Map<string, Pending>} */
    this.pending = new Map();
    /** @type {Map<number, Row>} */
    this.byId = new Map();
    /** Events ahead of their turn. @type {Map<number, LogEvent>} */
    this.held = new Map();
    /** @type {LogEvent[]} */
    this.recent = [];
  }

  /** Whether events are missing between `position` and one that came. */
  get hasHole() {
    return this.held.size > 0;
  }

  /** Whether what is shown reaches up to the newest message. */
  get isAtTail() {
    return this.isLoaded && !this.moreAfter;
  }

  /**
   * A connection begins: its next event is `from`. Forgets what it cannot bring up to date.
   * @param {number} from @returns {boolean} whether what was known goes on
   */
  begin(from) {
    if (this.position === from - 1) {
      return true;
    }
    // The stream begins later than we had come, or earlier, in another life of the database.
    const isFirst = this.position === null;
    this.forget();
    this.place(from - 1);
    return isFirst;
  }

  /** Forget the messages, not what is pending. */
  forget() {
    this.unload();
    this.held.clear();
    this.recent = [];
    this.position = null;
  }

  /** Forget the messages but not where we stand: another part of history is wanted. */
  unload() {
    this.rows = [];
    this.byId.clear();
    this.isLoaded = this.moreBefore = this.moreAfter = false;
  }

  /** @param {number} position */
  place(position) {
    this.position = position;
    this.counts.startAt(position);
  }

  /**
   * An event of the log, from the socket or a page of events.
   * @param {LogEvent} event @returns {LogEvent[]} what became known by it, in the log's order
   */
  event(event) {
    if (this.position === null || event.seq <= this.position) {
      return [];
    }
    if (event.seq > this.position + 1) {
      if (this.held.size < MAX_HELD) {
        this.held.set(event.seq, event);
      }
      return [];
    }
    const applied = [];
    for (let next = /** @type {LogEvent | undefined} */ (event); next; next = this.held.get(this.position + 1)) {
      this.held.delete(next.seq);
      this.#apply(next);
      applied.push(next);
    }
    return applied;
  }

  /** @param {LogEvent} event */
  #apply(event) {
    this.position = event.seq;
    this.recent.push(event);
    if (this.recent.length > 2 * RECENT) {
      this.recent = this.recent.slice(-RECENT);
    }
    if (isAboutMessage(event)) {
      this.counts.event(event);
      if (event.kind === "message" && event.data.user === this.me) {
        this.pending.delete(event.data.client_msg_id);
      }
      this.#merge(event);
    }
  }

  /** What the event says of messages that are shown, or now are. @param {LogEvent} event */
  #merge(event) {
    /** @type {Message} */
    const message = event.data;
    const row = this.byId.get(message.id);
    if (row && event.seq > row.asOf) {
      row.message = message;
      row.asOf = event.seq;
    } else if (!row && event.kind === "message" && this.isAtTail) {
      this.#insert(message, event.seq);
    }
    const root = message.root === null ? undefined : this.byId.get(message.root);
    const step = {"message": 1, "message.deleted": -1}[event.kind];
    if (root && step && event.seq > root.asOf) {
      root.message = {...root.message, replies: root.message.replies + step};
      root.asOf = event.seq;
    }
  }

  /** @param {Message} message @param {number} asOf */
  #insert(message, asOf) {
    const row = {message, asOf};
    let place = this.rows.length;
    while (place > 0 && this.rows[place - 1].message.seq > message.seq) {
      place--;
    }
    this.rows.splice(place, 0, row);
    this.byId.set(message.id, row);
  }

  /**
   * A page of history. False: too much happened since it was read; ask again.
   * @param {Page} page @param {"anew" | "before" | "after"} where
   * @param {number | null} cursor that was asked for; a page beside other rows than now is dropped
   */
  page(page, where, cursor = null) {
    if (where === "before" && this.rows[0]?.message.seq !== cursor ||
        where === "after" && this.rows.at(-1)?.message.seq !== cursor) {
      return true;
    }
    if (this.position === null) {
      this.place(page.head);
    }
    const missed = this.recent.filter(({seq}) => seq > page.head);
    const position = /** @type {number} */ (this.position);
    if (position > page.head && missed.length < position - page.head) {
      return false;
    }
    if (where === "anew") {
      this.rows = [];
      this.byId.clear();
    }
    const fresh = page.messages.filter(({id}) => !this.byId.has(id)).map((message) => ({message, asOf: page.head}));
    for (const row of fresh) {
      this.byId.set(row.message.id, row);
      if (row.message.user === this.me) {
        this.pending.delete(row.message.client_msg_id);
      }
    }
    this.rows = where === "before" ? [...fresh, ...this.rows] : [...this.rows, ...fresh];
    this.isLoaded = true;
    if (where !== "after") {
      this.moreBefore = page.more_before;
    }
    if (where !== "before") {
      this.moreAfter = page.more_after;
    }
    for (const event of missed) {
      if (isAboutMessage(event)) {
        this.#merge(event);
      }
    }
    return true;
  }

  /**
   * A message as an answer shows it, which names no head: it is at least as new as where we stood when we asked.
   * @param {Message} message @param {number | null} asOf `position` before asking
   */
  answer(message, asOf) {
    this.pending.delete(message.client_msg_id);
    const row = this.byId.get(message.id);
    if (!row) {
      if (this.isAtTail && message.seq > (this.rows.at(-1)?.message.seq ?? 0)) {
        this.#insert(message, message.seq);
      }
    } else if ((asOf ?? 0) >= row.asOf) {
      // Replies are counted by events, and this answer may have counted some whose events are still to come.
      row.message = {...message, replies: row.message.replies};
    }
  }

  /** The channel jumped: the next event is head + 1. @param {number} head */
  reset(head) {
    this.forget();
    this.place(head);
  }

  /** Let go of rows far from the reader, who is near the first or the last. @param {"first" | "last"} reader */
  trim(reader) {
    const surplus = this.rows.length - this.maxRows;
    if (surplus <= 0) {
      return;
    }
    const gone = reader === "last" ? this.rows.splice(0, surplus) : this.rows.splice(-surplus);
    gone.forEach(({message}) => this.byId.delete(message.id));
    if (reader === "last") {
      this.moreBefore = true;
    } else {
      this.moreAfter = true;
    }
  }

  // What is ours and under way

  /** Anew when its state has changed. @param {Pending} item */
  queue(item) {
    this.pending.set(item.client_msg_id, item);
  }

  /** @param {string} id */
  drop(id) {
    this.pending.delete(id);
  }
}

/** @param {LogEvent} event */
const isAboutMessage = ({kind}) => kind.startsWith("message") || kind.startsWith("reaction");
