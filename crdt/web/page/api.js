// One replica's HTTP: requests, and failures said as sentences.

import {Failure, posting, problemOf} from "./kit/http.js";

const PATIENCE_MS = 5000;

/** A replica at a base address, which ends in a slash: behind a proxy it may have a path. */
export class Api {
  /** @param {string} base */
  constructor(base) {
    this.base = base;
  }

  /** @param {string} path relative @returns {string} */
  url(path) {
    return new URL(path, this.base).href;
  }

  /** @param {string} path @param {RequestInit} options @returns {Promise<Response>} one that is ok */
  async ask(path, options = {}) {
    let response;
    try {
      response = await fetch(this.url(path), {cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), ...options});
    } catch {
      throw new Failure("does not answer", 0);
    }
    if (!response.ok) {
      const problem = await problemOf(response);
      throw new Failure(`answered ${response.status}${problem && `: ${problem}`}`, response.status, response);
    }
    return response;
  }

  /** @param {string} path @returns {Promise<any>} */
  async get(path) {
    return (await this.ask(path)).json();
  }

  /** @param {string} path @param {unknown} body @returns {Promise<any>} */
  async post(path, body) {
    return (await this.ask(path, posting(body))).json();
  }

  /**
   * One write. It goes as a batch of one: a path cannot hold the keys "." and "..", whatever one encodes.
   * @param {"add" | "put" | "remove"} op @param {string} key @param {unknown} [value]
   * @returns {Promise<string>} the stamp
   */
  async write(op, key, value) {
    const {results: [{status, stamp}]} = await this.post("batch", {ops: [{op, key, ...(op === "remove" ? {} : {value})}]});
    if (status === 409) {
      throw new Failure(`“${key}” is here already`, status);
    }
    if (status >= 400) {
      throw new Failure(`the write was refused with ${status}`, status);
    }
    return stamp;
  }
}
