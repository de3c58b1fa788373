// One replica as this page sees it: its cells, its peers, how it is. It tells `change` when any of that is new.
//
// Cells join here as they do there: the later stamp stays. So a listing and the changes may come in any order.

import {liveCells, removedCells, cellOf} from "./listing.js";
import {isLater} from "./stamp.js";
import {Stream} from "./stream.js";

const POLL_MS = 1000;
const SOON_MS = 150;
// A table with fewer cells than this is read for its tombstones unasked.
const FEW_CELLS = 2000;

/** @typedef {import("./listing.js").Cell} Cell */
/** @typedef {{name: string, url: string, public?: string | null, state: string, skew_ms?: number | null, reason?: string | null}} Member */
/** @typedef {"loading" | "live" | "reconnecting" | "silent"} State */

export class Replica extends EventTarget {
  /** @param {string} name @param {import("./api.js").Api} api */
  constructor(name, api) {
    super();
    this.name = name;
    this.api = api;
    /** @type {Map<string, Cell>} tombstones too, as far as we heard of them */
    this.cells = new Map();
    /** @type {string | null} keys behind this one are not looked at */
    this.horizon = null;
    /** @type {Map<string, Member>} */
    this.members = new Map();
    /** @type {{root: string, live: number, tombstones: number} | null} */
    this.digest = null;
    this.n_changes = 0;
    /** Whether no change came since the digest was asked for. */
    this.isDigestFresh = false;
    this.isWatched = false;
    this.isLoaded = false;
    this.isStreaming = false;
    this.isSilent = false;
    /** What it answered instead of what we asked for; "" when all is well. */
    this.refusal = "";
    this.wantsRemoved = false;
    /** @type {(before: Cell | undefined, after: Cell) => void} asked before a cell changes */
    this.onArrival = () => {};
    /** @type {Set<string>} keys heard of since the stream opened; what is not among them after a listing is gone */
    this.heard = new Set();
    this.listing = 0;
    this.stream = new Stream(api.url("changes"), {
      opened: () => this.list(),
      changed: (change) => this.join(cellOf(change, change.op === "put")),
      reset: () => this.list(),
      broken: () => {
        this.isStreaming = false;
        this.tell();
      },
    });
    /** @type {number | undefined} */
    this.timer = undefined;
    this.isPollNear = false;
  }

  /** @returns {State} */
  get state() {
    if (this.isSilent) {
      return "silent";
    }
    if (this.isStreaming) {
      return this.isLoaded ? "live" : "loading";
    }
    return this.isLoaded ? "reconnecting" : "loading";
  }

  /** Whether what we show of it is what it holds. */
  get isKnown() {
    return this.state === "live";
  }

  start() {
    this.isWatched = true;
    this.stream.start();
    this.poll();
  }

  stop() {
    this.isWatched = false;
    this.isStreaming = false;
    this.stream.stop();
    window.clearTimeout(this.timer);
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }

  /** @param {Cell | null} cell */
  join(cell) {
    if (!cell) {
      return;
    }
    this.heard.add(cell.key);
    const before = this.cells.get(cell.key);
    if (!isLater(cell.stamp, before?.stamp)) {
      return;
    }
    this.n_changes += 1;
    this.isDigestFresh = false;
    if (this.horizon === null || cell.key <= this.horizon) {
      this.onArrival(before, cell);
      this.cells.set(cell.key, cell);
    }
    this.pollSoon();
    this.tell();
  }

  /** Ask for everything; what comes meanwhile by the stream is kept. */
  async list() {
    this.isStreaming = true;
    this.heard = new Set();
    const listing = ++this.listing;
    try {
      const {cells, horizon} = await liveCells(this.api);
      if (listing !== this.listing) {
        return;                         // a later one is under way
      }
      this.horizon = horizon;
      cells.forEach((cell) => this.join(cell));
      for (const [key, {live}] of this.cells) {
        if (live && !this.heard.has(key)) {
          this.cells.delete(key);       // removed while we did not listen
        }
      }
      await this.listRemoved();
      this.isLoaded = true;
      this.tell();
    } catch {
      // It went away again: begin from the start, and the stream waits for it.
      if (listing === this.listing && this.isWatched) {
        this.isStreaming = false;
        this.stream.restart();
        this.tell();
      }
    }
  }

  async listRemoved() {
    await this.refreshDigest();
    const size = (this.digest?.live ?? 0) + (this.digest?.tombstones ?? 0);
    if (this.wantsRemoved || size <= FEW_CELLS) {
      (await removedCells(this.api)).forEach((cell) => this.join(cell));
    }
  }

  /** From now on removed keys are wanted, however many cells there are. */
  async showRemoved() {
    this.wantsRemoved = true;
    await this.listRemoved().catch(() => {});       // the poll says what is wrong
  }

  async refreshDigest() {
    const before = this.n_changes;
    const text = await (await this.api.ask("sync/digest")).text();
    const {live, tombstones} = JSON.parse(text);
    // As it was written: a number of JavaScript holds 53 of its 64 bits.
    const [, root] = /** @type {RegExpExecArray} */ (/"root": *"?([0-9a-f]+)/.exec(text));
    this.digest = {root, live, tombstones};
    this.isDigestFresh = this.n_changes === before;
  }

  /** Poll in a moment. Asked again meanwhile, it is not put off: changes may never pause. */
  pollSoon() {
    if (!this.isPollNear) {
      this.isPollNear = true;
      this.pollIn(SOON_MS);
    }
  }

  /** @param {number} ms */
  pollIn(ms) {
    window.clearTimeout(this.timer);
    if (this.isWatched) {
      this.timer = window.setTimeout(() => this.poll(), ms);
    }
  }

  /** Its peers and its digest, for ever. */
  async poll() {
    window.clearTimeout(this.timer);
    this.isPollNear = false;
    try {
      const [{members}] = await Promise.all([this.api.get("members"), this.refreshDigest()]);
      this.members = new Map(members.map((/** @type {Member} */ member) => [member.name, member]));
      this.isSilent = false;
      this.refusal = "";
    } catch (error) {
      const {status, message} = /** @type {import("./kit/http.js").Failure} */ (error);
      this.isSilent = status === 0;
      this.refusal = this.isSilent ? "" : message;
    }
    this.tell();
    this.pollIn(this.isPollNear ? SOON_MS : POLL_MS);
  }
}
