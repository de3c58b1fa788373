// One thread: its root and its replies, from a page of them and from the channel's events. No clock, no network, no page.

/** @typedef {import("./api.js").Message} Message */
/** @typedef {import("./log.js").Row} Row */
/** @typedef {import("./log.js").LogEvent} LogEvent */

export class ThreadLog {
  /** @param {number} rootId */
  constructor(rootId) {
    this.rootId = rootId;
    /** Root and replies by id. @type {Map<number, Row>} */
    this.byId = new Map();
    this.isLoaded = false;
  }

  /** @returns {Row | undefined} */
  get root() {
    return this.byId.get(this.rootId);
  }

  /** Replies, ascending by seq. @returns {Row[]} */
  get replies() {
    const replies = [...this.byId.values()].filter(({message}) => message.id !== this.rootId);
    return replies.sort((a, b) => a.message.seq - b.message.seq);
  }

  /**
   * What the server said, at least as new as where the channel stood (`asOf`) when it was asked.
   * @param {Message[]} messages @param {number} asOf
   */
  page(messages, asOf) {
    for (const message of messages) {
      const row = this.byId.get(message.id);
      if (!row || row.asOf <= asOf) {
        this.byId.set(message.id, {message, asOf});
      }
    }
    this.isLoaded = true;
  }

  /** @param {LogEvent} event of the channel */
  event({kind, seq, data}) {
    if (!kind.startsWith("message") && !kind.startsWith("reaction") ||
        data.id !== this.rootId && data.root !== this.rootId) {
      return;
    }
    const row = this.byId.get(data.id);
    if (!row || row.asOf < seq) {
      this.byId.set(data.id, {message: data, asOf: seq});
    }
  }
}
