// Which writes lost? One that was replaced by a write whose writer had not seen it.
//
// Stamps alone do not tell an update from a conflict. But this page watches the writer too: what it showed for that key
// when the write first appeared, anywhere, is what it had seen.

import {isLater, writerOf} from "./stamp.js";

const SHOWN_FOR_MS = 30_000;
const MOST_LOSERS = 3;          // of one key at one replica
const REMEMBERED = 1000;

/** @typedef {import("./listing.js").Cell} Cell */
/** @typedef {{loser: Cell, winner: string, until_ms: number}} Loss */

export class Losses {
  /** @param {Map<string, import("./replica.js").Replica>} replicas */
  constructor(replicas) {
    this.replicas = replicas;
    /** @type {Map<string, string | undefined>} by a write's stamp: the stamp that its writer had seen there */
    this.seen = new Map();
    /** @type {Map<string, Map<string, Loss[]>>} by replica and key */
    this.losses = new Map();
  }

  /**
   * A cell is about to be replaced at a replica.
   * @param {string} name @param {Cell | undefined} before @param {Cell} after
   */
  arrived(name, before, after) {
    const seen = this.seenBy(after);
    if (!before || writerOf(before.stamp) === writerOf(after.stamp) || !isLater(before.stamp, seen)) {
      return;
    }
    const keys = this.losses.get(name) ?? new Map();
    this.losses.set(name, keys);
    const earlier = (keys.get(after.key) ?? []).map((/** @type {Loss} */ loss) => ({...loss, winner: after.stamp}));
    const loss = {loser: before, winner: after.stamp, until_ms: Date.now() + SHOWN_FOR_MS};
    keys.set(after.key, [...earlier, loss].slice(-MOST_LOSERS));
  }

  /** @param {Cell} cell @returns {string | undefined} */
  seenBy({key, stamp}) {
    if (!this.seen.has(stamp)) {
      const writer = this.replicas.get(writerOf(stamp));
      // Of a writer that we do not watch we cannot say that it had not seen something.
      this.seen.set(stamp, writer?.isLoaded ? writer.cells.get(key)?.stamp : stamp);
      if (this.seen.size > REMEMBERED) {
        this.seen.delete(/** @type {string} */ (this.seen.keys().next().value));
      }
    }
    return this.seen.get(stamp);
  }

  /** @param {string} name @param {string} key @returns {Loss[]} */
  at(name, key) {
    return this.losses.get(name)?.get(key) ?? [];
  }

  /** @param {string} name @returns {Iterable<string>} the keys with losses there */
  keys(name) {
    return this.losses.get(name)?.keys() ?? [];
  }

  /**
   * Forget what was shown long enough.
   * @returns {boolean} whether there was something
   */
  expire() {
    let some = false;
    for (const keys of this.losses.values()) {
      for (const [key, losses] of keys) {
        const left = losses.filter(({until_ms}) => until_ms > Date.now());
        some ||= left.length < losses.length;
        if (left.length === 0) {
          keys.delete(key);
        } else {
          keys.set(key, left);
        }
      }
    }
    return some;
  }
}
