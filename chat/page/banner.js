// How the line stands: a strip that is there only while something is wrong, and says when the next try is.

import {mark, write} from "../kit/dom.js";

export class Banner {
  /** @param {Record<string, any>} parts of the shell @param {() => void} hurry */
  constructor(parts, hurry) {
    this.parts = parts;
    /** @type {import("./connection.js").State} */
    this.state = "connecting";
    /** @type {number | null} */
    this.nextTryAt = null;
    parts.hurry.addEventListener("click", hurry);
    this.timer = setInterval(() => this.draw(), 1000);
  }

  stop() {
    clearInterval(this.timer);
  }

  /** @param {import("./connection.js").State} state @param {number | null} nextTryAt */
  show(state, nextTryAt) {
    this.state = state;
    this.nextTryAt = nextTryAt;
    this.draw();
  }

  draw() {
    const {banner, hurry} = this.parts;
    mark(banner, "data-connection", this.state);
    hurry.hidden = this.state !== "offline";
    write(this.parts["banner-text"], this.#text());
  }

  #text() {
    if (this.state === "live") {
      return "Connected";
    }
    if (this.state === "connecting") {
      return "Connecting…";
    }
    // Screen readers hear each change: no countdown, only whether it is soon.
    const isSoon = this.nextTryAt === null || this.nextTryAt - Date.now() < 3000;
    return `Signal lost. What you write is kept and sent later. ${isSoon ? "Trying again…" : "Trying again in a moment."}`;
  }
}
