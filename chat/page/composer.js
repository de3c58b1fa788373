// The box to write in: Enter sends, Shift+Enter breaks the line, ArrowUp in an empty box edits what one said last.

import {copyOf, made, mark, write} from "../kit/dom.js";
import {grow} from "./editor.js";
import {Names} from "./names.js";

/**
 * @typedef {object} Ears
 * @property {(text: string) => void} send
 * @property {(text: string) => void} draft
 * @property {() => void} typing
 * @property {() => void} editLast
 * @property {() => Set<number>} nearby
 */

// On a touch screen's keyboard Enter breaks the line: it has no Shift to tell the two apart.
const isTouch = matchMedia("(hover: none) and (pointer: coarse)");

let composers = 0;

export class Composer {
  /** @param {import("./people.js").People} people @param {string} verb on the button @param {Ears} ears */
  constructor(people, verb, ears) {
    const {root, parts} = copyOf("composer");
    this.root = root;
    this.parts = parts;
    /** @type {HTMLTextAreaElement} */
    this.area = parts.text;
    this.ears = ears;
    this.names = new Names(this.area, parts.names, people, ears.nearby);
    this.area.id = `text-${++composers}`;
    parts.label.htmlFor = this.area.id;
    const text = made("span", verb);
    parts.send.append(text);
    root.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#send();
    });
    this.area.addEventListener("input", () => {
      this.#changed();
      this.ears.draft(this.area.value);
      if (this.area.value.trim()) {
        this.ears.typing();
      }
    });
    this.area.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {string} label @param {string} hint @param {string} text of a draft */
  open(label, hint, text) {
    this.rename(label, hint);
    this.area.value = text;
    this.names.close();
    this.#changed();
  }

  /** @param {string} label @param {string} hint */
  rename(label, hint) {
    write(this.parts.label, label);
    mark(this.area, "placeholder", hint);
  }

  /** @param {boolean} isOff @param {string} why */
  setOff(isOff, why) {
    this.area.disabled = isOff;
    if (isOff) {
      mark(this.area, "placeholder", why);
    }
    this.#enable();
  }

  focus() {
    if (!isTouch.matches) {
      this.area.focus({preventScroll: true});
    }
  }

  /** Put a text back into the box, above what stands there. @param {string} text */
  restore(text) {
    this.area.value = [text, this.area.value].filter(Boolean).join("\n");
    this.ears.draft(this.area.value);
    this.#changed();
    this.area.focus();
  }

  #changed() {
    grow(this.area);
    this.#enable();
  }

  #enable() {
    this.parts.send.disabled = this.area.disabled || !this.area.value.trim();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.isComposing || this.names.key(event)) {
      return;
    }
    if (event.key === "Enter" && !event.shiftKey && !isTouch.matches) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "ArrowUp" && !this.area.value) {
      event.preventDefault();
      this.ears.editLast();
    }
  }

  #send() {
    const text = this.area.value.replace(/\s+$/, "");
    if (text.trim()) {
      this.area.value = "";
      this.#changed();
      this.ears.draft("");
      this.ears.send(text);
    }
  }
}
