// How many messages of a channel are unread, and how many of them name us?
//
// Never a counter that drifts: where we know every message since the read marker, we count those; where the marker lies
// further back, the server's count as of `head`, and what we know came after it.

/** @typedef {import("./api.js").Channel} Channel */
/** @typedef {{id: number, seq: number, isRoot: boolean, isMention: boolean, deleted: boolean}} Note */

const MAX_NOTES = 4000;

export class Counts {
  /** @param {number} me */
  constructor(me) {
    this.me = me;
    this.lastRead = 0;
    this.rev = -1;
    /** Every message by others after this seq is in `notes`; null: none is. @type {number | null} */
    this.knownFrom = null;
    /** @type {Note[]} */
    this.notes = [];
    this.base = {unread: 0, mentions: 0, head: 0};
    /** The server's count is not of our marker, or lies too far back: ask for the list again. */
    this.isStale = false;
  }

  /** We hear of everything after `position`. @param {number} position */
  startAt(position) {
    this.knownFrom = position;
    this.notes = [];
    if (position > this.base.head) {
      this.isStale = true;            // what came between the server's count and us is in neither
    }
  }

  /** The channel as the list shows it. @param {Channel} channel */
  listed(channel) {
    const member = channel.member;
    if (!member || member.rev < this.rev) {
      return;                         // older than what a frame has told
    }
    this.lastRead = member.last_read;
    this.rev = member.rev;
    this.base = {unread: member.unread, mentions: member.mentions, head: channel.head};
    this.isStale = this.knownFrom !== null && channel.head < this.knownFrom;
  }

  /** The marker moved, here or in another tab. @param {{last_read: number, rev: number, unread: number, mentions: number}} frame */
  read(frame) {
    if (frame.rev <= this.rev) {
      return;
    }
    this.rev = frame.rev;
    this.lastRead = frame.last_read;
    const newest = Math.max(this.base.head, this.knownFrom ?? 0, this.notes.at(-1)?.seq ?? 0);
    this.base = {unread: frame.unread, mentions: frame.mentions, head: newest};
    // The frame does not say which messages it counted.
    this.isStale = !this.#knowsAll();
  }

  /** @param {import("./log.js").LogEvent} event about a message */
  event({seq, kind, data}) {
    if (data.user === this.me) {
      return;
    }
    if (kind === "message") {
      this.notes.push({id: data.id, seq: data.seq, isRoot: data.root === null, deleted: false,
        isMention: data.mentions.includes(this.me)});
      if (this.notes.length > MAX_NOTES) {
        this.knownFrom = /** @type {Note} */ (this.notes.shift()).seq;
        this.isStale = this.isStale || this.lastRead < this.knownFrom;
      }
    } else if (kind === "message.edited" || kind === "message.deleted") {
      const note = this.notes.find(({id}) => id === data.id);
      if (note) {
        note.deleted = data.deleted;
        note.isMention = data.mentions.includes(this.me);
      } else if (data.seq > this.lastRead && seq > this.base.head) {
        this.isStale = true;          // one of those that only the server counted
      }
    }
  }

  #knowsAll() {
    return this.knownFrom !== null && this.lastRead >= this.knownFrom;
  }

  /** @param {(note: Note) => boolean} counts @param {number} base */
  #count(counts, base) {
    const from = this.#knowsAll() ? this.lastRead : Math.max(this.base.head, this.lastRead);
    const known = this.notes.filter((note) => note.seq > from && !note.deleted && counts(note)).length;
    return this.#knowsAll() ? known : base + known;
  }

  get unread() {
    return this.#count(({isRoot}) => isRoot, this.base.unread);
  }

  get mentions() {
    return this.#count(({isMention}) => isMention, this.base.mentions);
  }
}
