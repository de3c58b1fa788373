// A lock that one holds for a while: its token, and how long it lasts.

const TICK_MS = 500;

export class Lock {
  /** @type {number | null} */
  #token = null;
  #untilMs = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /** @param {() => void} onTick  the time left has changed */
  constructor(onTick) {
    this.onTick = onTick;
  }

  /** Whether we took it and did not let go; by the time shown, or the server's word, it may be over. */
  get isHeld() {
    return this.#token !== null;
  }

  /** @returns {Record<string, string>} what a request says of it */
  get fields() {
    return this.#token === null ? {} : {"Lock-Token": String(this.#token)};
  }

  get words() {
    if (this.#token === null) {
      return "";
    }
    const leftS = Math.ceil((this.#untilMs - Date.now()) / 1000);
    return leftS > 0 ? `holds the lock for ${leftS} s` : "held the lock too long: it has run out";
  }

  /** @param {number} token @param {number} ttlS seconds from now, by our clock: the server's may differ */
  hold(token, ttlS) {
    this.#token = token;
    this.extend(ttlS);
  }

  /** @param {number} ttlS */
  extend(ttlS) {
    this.#untilMs = Date.now() + ttlS * 1000;
    clearInterval(this.#timer);
    this.#timer = setInterval(this.onTick, TICK_MS);
  }

  drop() {
    this.#token = null;
    clearInterval(this.#timer);
  }
}
