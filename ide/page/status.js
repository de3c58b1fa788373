// What is always in sight: whether all is saved, the line to the server, the cursor's place, the idle countdown.

import {mark, write} from "./kit/dom.js";
import {clock} from "./clock.js";
import {h} from "./dom.js";

/** @typedef {import("./buffer.js").Status} SaveStatus */

export class Status {
  /** @param {import("./project.js").ProjectPage} page */
  constructor(page) {
    this.page = page;
    this.isConnected = true;
    this.text = h("span", {role: "status", "aria-label": "Save state"}, "Saved");
    this.save = h("div", {class: "save", "data-status": "Saved"}, this.text);
    this.where = h("span", {class: "where"});
    this.language = h("span", {class: "soft language"});
    this.line = h("span", {class: "line", role: "status", hidden: true}, "The server cannot be reached. Trying again…");
    this.countdown = h("span", {});
    this.idling = h("span", {class: "idling", hidden: true}, this.countdown,
      h("button", {type: "button", class: "small", onclick: () => this.page.api.tell("").then(() => this.idle(null)).catch(() => {})}, "I am here"),
      h("button", {type: "button", class: "small", onclick: () => this.page.keepGoing(true).then(() => this.idle(null))}, "Keep it going"));
    this.kept = h("span", {class: "soft", hidden: true}, "Kept going");
    this.root = h("footer", {class: "foot"}, this.line, this.idling, h("span", {class: "grow"}), this.kept, this.where, this.language);
    this.timer = 0;
  }

  /** The worst of all open files: one that is not saved must not hide behind another. */
  draw() {
    const {files, project} = this.page;
    const buffers = files.buffers();
    const is = (/** @type {SaveStatus} */ status) => buffers.find((buffer) => buffer.status === status);
    const worst = is("Conflict") ?? is("Offline") ?? is("Saving");
    const status = worst?.status ?? (this.isConnected ? "Saved" : "Offline");
    write(this.text, status);
    mark(this.save, "data-status", status);
    this.save.title = worst?.reason ? `${worst.path}: ${worst.reason}` : "";
    this.kept.hidden = !project?.keep_running;
  }

  place() {
    const {files} = this.page;
    if (!files.activeBuffer) {
      write(this.where, "");
      write(this.language, "");
      return;
    }
    const {line, column, selected, language} = files.editor.place();
    write(this.where, `Line ${line}, column ${column}${selected ? ` (${selected} selected)` : ""}`);
    write(this.language, language);
  }

  /** @param {boolean} isConnected */
  connected(isConnected) {
    this.isConnected = isConnected;
    this.line.hidden = isConnected;
    if (isConnected) {
      this.page.files.saveAll();
    }
    this.draw();
  }

  /** @param {number | null} seconds until the sandbox stops; null: it does not */
  idle(seconds) {
    clearInterval(this.timer);
    this.idling.hidden = seconds === null;
    if (seconds !== null) {
      const end_ms = performance.now() + seconds * 1000;
      const draw = () => write(this.countdown, `Nobody uses it: the sandbox stops in ${clock((end_ms - performance.now()) / 1000)}`);
      draw();
      this.timer = setInterval(draw, 1000);
    }
  }
}
