// A replica's changes as they happen; after a break they go on where they stopped.
//
// A browser opens six connections to one host, and behind one door all replicas are one host. So of all windows only
// one listens to a replica, and passes what it hears on to the others. A lock says which one: the browser takes it
// back from a window that is gone, and the next in the queue listens.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5000;

/**
 * @typedef {object} Ears
 * @property {() => void} opened     changes come from now on; what was before must be asked for
 * @property {(change: any) => void} changed
 * @property {() => void} reset      the replica no longer knows where we stopped
 * @property {() => void} broken     nothing comes until the next `opened`
 */

/**
 * What a window says to the others. `opening` tells one opening of the stream from the next.
 * @typedef {{what: "open?" | "reset" | "broken"} | {what: "opened", opening: number} | {what: "changed", change: any}} Word
 */

/** An EventSource that also tries again after the answers at which the browser gives up, as 503 while a replica starts. */
export class Stream {
  /** @param {string} url @param {Ears} ears */
  constructor(url, ears) {
    this.url = url;
    this.ears = ears;
    this.pauseMs = FIRST_PAUSE_MS;
    /** @type {EventSource | null} null: another window listens, or none yet */
    this.source = null;
    /** @type {BroadcastChannel | null} */
    this.others = null;
    /** @type {AbortController | null} */
    this.turn = null;
    /** Which opening we heard of; 0: none, or it broke. */
    this.opening = 0;
    /** @type {number | undefined} */
    this.timer = undefined;
  }

  start() {
    this.stop();
    if (!navigator.locks) {             // neither TLS nor this machine: each window listens for itself
      this.listen();
      return;
    }
    this.others = new BroadcastChannel(this.url);
    this.others.addEventListener("message", ({data}) => this.hear(data));
    this.others.postMessage({what: "open?"});
    const {signal} = this.turn = new AbortController();
    navigator.locks.request(this.url, {signal}, () => signal.aborted ? null : new Promise((done) => {
      signal.addEventListener("abort", done);
      this.listen();
    })).catch(() => {});                // we went out of the queue
  }

  listen() {
    const source = new EventSource(this.url);
    this.source = source;
    source.addEventListener("open", () => this.pass({what: "opened", opening: Math.random()}));
    for (const op of ["put", "remove"]) {
      source.addEventListener(op, (event) => {
        this.pauseMs = FIRST_PAUSE_MS;
        this.pass({what: "changed", change: JSON.parse(/** @type {MessageEvent} */ (event).data)});
      });
    }
    source.addEventListener("reset", () => this.pass({what: "reset"}));
    source.addEventListener("error", () => {
      this.pass({what: "broken"});
      if (source.readyState === EventSource.CLOSED) {
        this.restart();
      }
    });
  }

  /** @param {Word} word */
  pass(word) {
    this.others?.postMessage(word);
    this.hear(word);
  }

  /** @param {Word} word */
  hear(word) {
    if (word.what === "changed") {
      this.ears.changed(word.change);
    } else if (word.what === "opened") {
      if (word.opening !== this.opening) {      // else it was said to a window that came later
        this.opening = word.opening;
        this.ears.opened();
      }
    } else if (word.what === "open?") {
      if (this.source && this.opening) {
        this.others?.postMessage({what: "opened", opening: this.opening});
      }
    } else {
      this.opening = word.what === "broken" ? 0 : this.opening;
      this.ears[word.what]();
    }
  }

  /** Begin anew after a pause that grows. */
  restart() {
    this.stop();
    this.timer = window.setTimeout(() => this.start(), this.pauseMs);
    this.pauseMs = Math.min(2 * this.pauseMs, LONGEST_PAUSE_MS);
  }

  stop() {
    window.clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
    this.others?.close();
    this.others = null;
    this.turn?.abort();
    this.opening = 0;
  }
}
