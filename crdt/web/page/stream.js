// A replica's changes as they happen; after a break they go on where they stopped.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5000;

/**
 * @typedef {object} Ears
 * @property {() => void} opened     changes come from now on; what was before must be asked for
 * @property {(change: any) => void} changed
 * @property {() => void} reset      the replica no longer knows where we stopped
 * @property {() => void} broken     nothing comes until the next `opened`
 */

/** An EventSource that also tries again after the answers at which the browser gives up, as 503 while a replica starts. */
export class Stream {
  /** @param {string} url @param {Ears} ears */
  constructor(url, ears) {
    this.url = url;
    this.ears = ears;
    this.pauseMs = FIRST_PAUSE_MS;
    /** @type {EventSource | null} */
    this.source = null;
    /** @type {number | undefined} */
    this.timer = undefined;
  }

  start() {
    this.stop();
    const source = new EventSource(this.url);
    this.source = source;
    source.addEventListener("open", () => this.ears.opened());
    for (const op of ["put", "remove"]) {
      source.addEventListener(op, (event) => {
        this.pauseMs = FIRST_PAUSE_MS;
        this.ears.changed(JSON.parse(/** @type {MessageEvent} */ (event).data));
      });
    }
    source.addEventListener("reset", () => this.ears.reset());
    source.addEventListener("error", () => {
      this.ears.broken();
      if (source.readyState === EventSource.CLOSED) {
        this.restart();
      }
    });
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
  }
}
