// Server-sent events over fetch: an EventSource could not bring the token along.

import {ask} from "./api.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5000;
// The router says something every ten seconds; a stream that is silent for longer than this is dead.
const SILENCE_MS = 25_000;

/**
 * @typedef {object} Ears
 * @property {(name: string, data: any) => void} event
 * @property {(failure: Error & {status?: number}) => void} broken  nothing comes until the next event; it is tried again
 */

/** Listens until the page goes; begins anew behind pauses that grow. */
export class Stream {
  /** @param {string} path @param {Ears} ears */
  constructor(path, ears) {
    this.path = path;
    this.ears = ears;
    this.pauseMs = FIRST_PAUSE_MS;
    this.run = 0;
    /** @type {AbortController | null} */
    this.abort = null;
  }

  /** Begin, or begin anew at once. */
  start() {
    this.abort?.abort();
    this.run += 1;
    this.pauseMs = FIRST_PAUSE_MS;
    this.listen(this.run);
  }

  /** @param {number} run */
  async listen(run) {
    while (run === this.run) {
      const abort = new AbortController();
      this.abort = abort;
      try {
        await this.read(run, abort);
        throw new Error("The router ended the stream.");
      } catch (error) {
        abort.abort();
        if (run !== this.run) {
          return;
        }
        this.ears.broken(/** @type {Error} */ (error));
        if (/** @type {any} */ (error).status === 401) {
          return;                       // until there is a token, and `start`
        }
      }
      await new Promise((resolve) => { setTimeout(resolve, this.pauseMs); });
      this.pauseMs = Math.min(2 * this.pauseMs, LONGEST_PAUSE_MS);
    }
  }

  /** @param {number} run @param {AbortController} abort */
  async read(run, abort) {
    let timer = setTimeout(() => abort.abort(), SILENCE_MS);
    const response = await ask(this.path, {signal: abort.signal, headers: {Accept: "text/event-stream"}});
    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const {done, value} = await reader.read();
      clearTimeout(timer);
      if (done || run !== this.run) {
        return;
      }
      timer = setTimeout(() => abort.abort(), SILENCE_MS);
      text += value;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        this.take(text.slice(0, end));
        text = text.slice(end + 2);
      }
    }
  }

  /** @param {string} block one event */
  take(block) {
    let name = "message";
    const data = [];
    for (const line of block.split("\n")) {
      if (line.startsWith("event: ")) {
        name = line.slice(7);
      } else if (line.startsWith("data: ")) {
        data.push(line.slice(6));
      }
    }
    if (data.length > 0) {
      this.pauseMs = FIRST_PAUSE_MS;
      this.ears.event(name, JSON.parse(data.join("\n")));
    }
  }
}
