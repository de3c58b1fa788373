// Messages on their way: kept in the browser's storage until the server has said yes, tried again with the same
// client_msg_id until then. One at a time in each channel, so that they arrive in the order they were written.

import {Failure} from "./api.js";
import {Backoff} from "./backoff.js";

/** @typedef {import("./log.js").Pending} Pending */
/**
 * @typedef {object} Ears
 * @property {(item: Pending) => Promise<void>} send     resolves when it is stored for good
 * @property {(item: Pending) => void} changed           it was queued, or failed, or is tried again
 */

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

export class Outbox {
  /** @param {number} me @param {Storage} storage @param {Ears} ears */
  constructor(me, storage, ears) {
    this.prefix = `hotpath-chat/outbox/${me}/`;
    this.storage = storage;
    this.ears = ears;
    /** @type {Map<string, Pending>} */
    this.items = new Map();
    /** Channels whose queue is being worked on. @type {Set<number>} */
    this.busy = new Set();
    /** Those who wait for the next try. @type {Set<() => void>} */
    this.sleepers = new Set();
    this.isClosed = false;
  }

  /** Take up what an earlier page, or a crash of it, left. */
  resume() {
    const keys = Object.keys(this.storage).filter((key) => key.startsWith(this.prefix));
    const items = keys.map((key) => parsed(this.storage.getItem(key))).filter((item) => item !== null);
    items.sort((a, b) => a.at - b.at).forEach((item) => {
      this.items.set(item.client_msg_id, item);
      this.ears.changed(item);
      this.#work(item.channel);
    });
  }

  /** @param {number} channel @param {string} text @param {number | null} root */
  add(channel, text, root) {
    const newest = [...this.items.values()].at(-1)?.at ?? 0;
    this.#put({client_msg_id: freshId(), channel, text, root, at: Math.max(Date.now(), newest + 1), failed: null});
    this.#work(channel);
  }

  /** @param {string} id */
  retry(id) {
    const item = this.items.get(id);
    if (item) {
      this.#put({...item, failed: null});
      this.#work(item.channel);
    }
  }

  /** It is stored, or nobody wants it any more. @param {string} id */
  remove(id) {
    this.items.delete(id);
    this.storage.removeItem(this.prefix + id);
  }

  /** Nobody else who uses this browser shall find them. */
  clear() {
    [...this.items.keys()].forEach((id) => this.remove(id));
  }

  /** The network may be back: try now. */
  kick() {
    [...this.sleepers].forEach((wake) => wake());
  }

  close() {
    this.isClosed = true;
    this.kick();
  }

  /** @param {Pending} item */
  #put(item) {
    this.items.set(item.client_msg_id, item);
    try {
      this.storage.setItem(this.prefix + item.client_msg_id, JSON.stringify(item));
    } catch {
      // Full: it is still sent, only a reload would forget it.
    }
    this.ears.changed(item);
  }

  /** @param {number} channel */
  async #work(channel) {
    if (this.busy.has(channel)) {
      return;
    }
    this.busy.add(channel);
    const pause = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
    const isNext = (/** @type {Pending} */ item) => item.channel === channel && item.failed === null;
    for (let item; !this.isClosed && (item = [...this.items.values()].find(isNext));) {
      try {
        await this.ears.send(item);
        this.remove(item.client_msg_id);
        pause.reset();
      } catch (error) {
        const failure = error instanceof Failure ? error : new Failure(0, String(error));
        if (!this.items.has(item.client_msg_id)) {
          continue;                     // its event came first
        }
        if (failure.isRefusal) {
          this.#put({...item, failed: failure.message});
        } else {
          await this.#sleep(Math.max(failure.waitMs, pause.next()));
        }
      }
    }
    this.busy.delete(channel);
  }

  /** @param {number} ms @returns {Promise<void>} */
  #sleep(ms) {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.sleepers.add(wake);
    });
  }
}

/** @param {string | null} text @returns {Pending | null} */
function parsed(text) {
  try {
    const item = JSON.parse(text ?? "");
    return typeof item.client_msg_id === "string" && Number.isInteger(item.channel) ? item : null;
  } catch {
    return null;
  }
}

/** 128 random bits; `crypto.randomUUID` is there for https and localhost only. */
function freshId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
