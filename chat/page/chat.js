// All channels of one person, kept as the frames and answers tell. Draws nothing: it says that something changed.

import {api} from "./api.js";
import {Log} from "./log.js";

/** @typedef {import("./api.js").Channel} Channel */
/** @typedef {import("./api.js").Failure} Failure */
/** @typedef {import("./log.js").LogEvent} LogEvent */
/** @typedef {{id: number, info: Channel, log: Log, isMember: boolean, loading: null | "anew" | "before" | "after",
 *   loadToken: object, trouble: string | null, isFilling: boolean, members: number[] | null,
 *   holdsUnread: boolean}} Entry
 * @typedef {object} Ears
 * @property {() => void} changed
 * @property {(entry: Entry, event: LogEvent) => void} happened   once for each event, in the log's order
 * @property {(entry: Entry) => void} forgot                      its messages are stale: load again what is shown
 * @property {(entry: Entry) => void} left                        one is no longer a member
 */

const PAGE = 100;
const FILL = 1000;              // events in one answer
const GIVE_UP_FILLING = 5;      // answers; whoever is further behind starts anew
const LOAD_TRIES = 5;
const HOLE_PATIENCE_MS = 60;    // the missing frame may be on its way
const TAIL_PATIENCE_MS = 1500;
const LIST_PAUSE_MS = 150;

export class Chat {
  /**
   * @param {import("./api.js").User} me @param {string} epoch @param {import("./people.js").People} people
   * @param {Ears} ears
   */
  constructor(me, epoch, people, ears) {
    this.me = me;
    this.epoch = epoch;
    this.people = people;
    this.ears = ears;
    /** @type {Map<number, Entry>} */
    this.entries = new Map();
    this.isListed = false;
    /** @type {string | null} */
    this.listTrouble = null;
    /** @type {number | undefined} */
    this.listTimer = undefined;
    this.isListing = false;
    /** Nothing is asked any more. */
    this.isStopped = false;
    /** Channels whose members are asked for. @type {Set<number>} */
    this.asking = new Set();
  }

  /** Where a connection goes on. */
  where() {
    /** @type {Record<string, number>} */
    const since = {};
    for (const {id, isMember, log} of this.entries.values()) {
      if (isMember && log.position !== null) {
        since[id] = log.position;
      }
    }
    return {epoch: this.epoch, since};
  }

  /** @param {number} id @returns {Entry} */
  entry(id) {
    let entry = this.entries.get(id);
    if (!entry) {
      const info = /** @type {Channel} */ ({id, kind: "public", name: "", topic: "", archived: false, head: 0, created_at: 0});
      entry = {id, info, log: new Log(this.me.id), isMember: false, loading: null, loadToken: {}, trouble: null,
        isFilling: false, members: null, holdsUnread: false};
      this.entries.set(id, entry);
    }
    return entry;
  }

  // The list

  /** @returns {Promise<void>} */
  async list() {
    if (this.isStopped) {
      return;
    }
    this.isListing = true;
    try {
      (await api.channels("mine")).forEach((channel) => this.listed(channel));
      this.isListed = true;
      this.listTrouble = null;
    } catch (error) {
      this.listTrouble = /** @type {Failure} */ (error).message;
      this.listSoon(3000);
    } finally {
      this.isListing = false;
    }
    this.ears.changed();
  }

  /** Ask again: what the list says is stale. @param {number} pauseMs */
  listSoon(pauseMs = LIST_PAUSE_MS) {
    this.listTimer ??= window.setTimeout(() => {
      this.listTimer = undefined;
      if (this.isListing) {
        this.listSoon();
      } else {
        this.list();
      }
    }, pauseMs);
  }

  /** @param {Channel} channel one of ours @returns {Entry} */
  listed(channel) {
    const entry = this.entry(channel.id);
    entry.info = channel;
    entry.isMember = true;
    entry.log.counts.listed(channel);
    const {log} = entry;
    if (log.position !== null && channel.head > log.position) {
      setTimeout(() => {
        if (log.position !== null && channel.head > log.position) {
          this.#fill(entry, channel.head);      // a frame was lost, and none came behind it
        }
      }, TAIL_PATIENCE_MS);
    }
    return entry;
  }

  // Frames

  /** @param {any} frame */
  frame(frame) {
    const act = /** @type {Record<string, () => void>} */ ({
      "ready": () => this.#ready(frame),
      "event": () => this.#event(frame),
      "channel.added": () => this.#added(frame),
      "channel.removed": () => this.#removed(frame.channel),
      "reset": () => this.#reset(this.entry(frame.channel), frame.head),
      "read": () => this.#read(frame),
      "typing": () => this.people.types(frame.channel, frame.user),
      "presence": () => this.people.present(frame.users),
    })[frame.type];
    act?.();
    this.ears.changed();
  }

  /** @param {{epoch: string, channels: {id: number, from: number}[]}} ready */
  #ready({epoch, channels}) {
    if (epoch !== this.epoch) {
      this.epoch = epoch;
      this.entries.forEach(({log}) => log.forget());
    }
    const here = new Set(channels.map(({id}) => id));
    this.entries.forEach((entry) => entry.isMember && !here.has(entry.id) && this.#removed(entry.id));
    for (const {id, from} of channels) {
      const entry = this.entry(id);
      if (!entry.isMember || !entry.info.name && entry.info.kind !== "dm") {
        entry.isMember = true;
        this.listSoon();
      }
      if (!entry.log.begin(from)) {
        this.#forgot(entry);
      }
      this.#after(entry);
    }
  }

  /** @param {LogEvent} event */
  #event(event) {
    const entry = this.entry(event.channel);
    entry.log.event(event).forEach((each) => this.#happened(entry, each));
    if (entry.log.hasHole) {
      setTimeout(() => entry.log.hasHole && this.#fill(entry, 0), HOLE_PATIENCE_MS);
    }
    this.#after(entry);
  }

  /** @param {Entry} entry @param {LogEvent} event */
  #happened(entry, event) {
    if (event.kind === "channel.changed") {
      entry.info = {...entry.info, ...event.data, member: entry.info.member};
    } else if (event.kind === "member.joined" || event.kind === "member.left") {
      entry.members = null;
      if (event.data.user === this.me.id && event.kind === "member.left") {
        this.#removed(entry.id);
      }
    } else if (event.kind === "message") {
      this.people.typed(entry.id, event.data.user);
    }
    this.ears.happened(entry, event);
  }

  /** @param {{channel: number, from: number}} frame */
  #added({channel, from}) {
    const entry = this.entry(channel);
    entry.isMember = true;
    if (!entry.log.begin(from)) {
      this.#forgot(entry);
    }
    this.listSoon(0);
  }

  /** @param {number} id */
  #removed(id) {
    const entry = this.entries.get(id);
    if (entry?.isMember) {
      entry.isMember = false;
      entry.log.forget();
      this.ears.left(entry);
    }
  }

  /** @param {Entry} entry @param {number} head */
  #reset(entry, head) {
    entry.log.reset(head);
    this.#forgot(entry);
    this.#after(entry);
  }

  /** @param {Entry} entry */
  #forgot(entry) {
    entry.loading = null;
    entry.loadToken = {};
    this.ears.forgot(entry);
  }

  /** @param {any} frame */
  #read(frame) {
    const entry = this.entry(frame.channel);
    entry.log.counts.read(frame);
    this.#after(entry);
  }

  /** @param {Entry} entry */
  #after(entry) {
    if (entry.isMember && entry.log.counts.isStale) {
      this.listSoon();
    }
  }

  // What HTTP brings

  /** Bring the missing events. @param {Entry} entry @param {number} target seq to be reached */
  async #fill(entry, target) {
    const {log} = entry;
    if (entry.isFilling) {
      return;
    }
    entry.isFilling = true;
    try {
      for (let n = 0; log.position !== null && (log.hasHole || log.position < target); n++) {
        const {events, head} = await api.events(entry.id, log.position, FILL);
        if (n === GIVE_UP_FILLING) {
          this.#reset(entry, head);
          break;
        }
        events.forEach((/** @type {LogEvent} */ event) =>
          log.event(event).forEach((each) => this.#happened(entry, each)));
        if (!events.length) {
          break;
        }
      }
    } catch (error) {
      if (!/** @type {Failure} */ (error).isRefusal && !this.isStopped) {
        setTimeout(() => (log.hasHole || (log.position ?? target) < target) && this.#fill(entry, target), TAIL_PATIENCE_MS);
      }
    } finally {
      entry.isFilling = false;
      this.ears.changed();
    }
  }

  /**
   * Read history: the newest or what lies around a seq, or the page beside the rows that are there.
   * @param {Entry} entry @param {"anew" | "before" | "after"} where @param {number | null} around
   */
  async load(entry, where, around = null) {
    if (entry.loading !== null && where !== "anew") {
      return;
    }
    const token = entry.loadToken = {};
    const {log} = entry;
    entry.loading = where;
    entry.trouble = null;
    this.ears.changed();
    try {
      for (let n = 0; n < LOAD_TRIES; n++) {
        const cursor = (where === "before" ? log.rows[0] : log.rows.at(-1))?.message.seq ?? null;
        const query = where === "anew" ? around === null ? {} : {around} : {[where]: cursor};
        const page = await api.history(entry.id, {...query, limit: PAGE});
        if (entry.loadToken !== token) {
          return;
        }
        if (log.page(page, where, cursor)) {
          break;
        }
      }
      entry.loading = null;
    } catch (error) {
      if (entry.loadToken === token) {
        entry.loading = null;
        entry.trouble = /** @type {Failure} */ (error).message;
      }
    }
    this.ears.changed();
  }

  /**
   * A change of a message, whose answer is taken as far as it is news.
   * @param {Entry} entry @param {() => Promise<import("./api.js").Message | null>} request
   */
  async change(entry, request) {
    const asOf = entry.log.position;
    const message = await request();
    if (message) {
      entry.log.answer(message, asOf);
    }
    this.ears.changed();
  }

  /** @param {Entry} entry @param {number} seq @param {boolean} back */
  async read(entry, seq, back) {
    entry.log.counts.read(await api.read(entry.id, seq, back));
    this.#after(entry);
    this.ears.changed();
  }

  /** @param {Entry} entry @returns {Promise<void>} */
  async loadMembers(entry) {
    const since = entry.log.position;
    const members = await api.members(entry.id);
    entry.members = members.map((/** @type {{user: number}} */ {user}) => user);
    if (since !== entry.log.position && entry.log.recent.some(({seq, kind}) => seq > (since ?? 0) && kind.startsWith("member"))) {
      entry.members = null;             // somebody came or went meanwhile
    }
    this.ears.changed();
  }

  /** Who is in it is shown: ask, once. @param {Entry} entry */
  async wantMembers(entry) {
    if (!this.asking.has(entry.id)) {
      this.asking.add(entry.id);
      try {
        await this.loadMembers(entry);
        this.asking.delete(entry.id);
      } catch {
        setTimeout(() => {
          this.asking.delete(entry.id);
          this.ears.changed();
        }, 3000);
      }
    }
  }
}
