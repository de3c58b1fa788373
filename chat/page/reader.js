// What counts as read: what one has in view at the end of the conversation, in a window one looks at.

/** @typedef {import("./chat.js").Entry} Entry */

const AGAIN_MS = 3000;

export class Reader {
  /** @param {import("./chat.js").Chat} chat */
  constructor(chat) {
    this.chat = chat;
    /** Channels whose marker is on its way. @type {Set<number>} */
    this.busy = new Set();
    /** Where the line "New" stands, by channel. @type {Map<number, number>} */
    this.newFrom = new Map();
  }

  get isLooking() {
    return !document.hidden && document.hasFocus();
  }

  /** One comes to a channel: what is unread now is new. @param {Entry} entry */
  enter(entry) {
    entry.holdsUnread = false;
    this.newFrom.delete(entry.id);
    this.#line(entry);
  }

  /** @param {Entry} entry */
  #line({id, log}) {
    if (log.counts.unread > 0 && !this.newFrom.has(id)) {
      this.newFrom.set(id, log.counts.lastRead);
    }
  }

  /** What was new is not any more: one answered. @param {Entry} entry */
  answered(entry) {
    entry.holdsUnread = false;
    this.newFrom.delete(entry.id);
  }

  /** Called whenever something moved or came. @param {Entry} entry @param {boolean} isAtEnd */
  async look(entry, isAtEnd) {
    const {log} = entry;
    const isUnread = log.counts.unread > 0 || log.counts.mentions > 0;
    const newest = log.rows.at(-1)?.message.seq ?? 0;
    if (!isUnread || !entry.isMember) {
      return;
    }
    if (!this.isLooking || !isAtEnd || !log.isAtTail || entry.holdsUnread) {
      this.#line(entry);
      return;
    }
    if (this.busy.has(entry.id) || newest <= log.counts.lastRead) {
      return;
    }
    this.busy.add(entry.id);
    try {
      await this.chat.read(entry, newest, false);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    } finally {
      this.busy.delete(entry.id);
    }
  }

  /** Everything from this message on is unread again. @param {Entry} entry @param {number} seq */
  async markUnread(entry, seq) {
    entry.holdsUnread = true;
    this.newFrom.set(entry.id, seq - 1);
    await this.chat.read(entry, seq - 1, true);
  }
}
