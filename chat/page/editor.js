// Changing what one said, in its place.

import {copyOf, write} from "../kit/dom.js";

export class Editor {
  /** @param {import("./api.js").Message} message @param {import("./row.js").Acts} acts */
  constructor(message, acts) {
    const {root, parts} = copyOf("editor");
    this.root = root;
    this.text = parts.text;
    this.text.value = message.text;
    const save = async () => {
      const text = this.text.value;
      if (text.trim() === "" || text === message.text) {
        acts.stopEditing();
        return;
      }
      this.text.disabled = true;
      try {
        await acts.save(message, text);
      } catch (error) {
        write(parts.trouble, /** @type {Error} */ (error).message);
        this.text.disabled = false;
        this.text.focus();
      }
    };
    root.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      save();
    });
    parts.cancel.addEventListener("click", () => acts.stopEditing());
    this.text.addEventListener("input", () => grow(this.text));
    this.text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        save();
      } else if (event.key === "Escape") {
        event.stopPropagation();
        acts.stopEditing();
      }
    });
  }

  focus() {
    requestAnimationFrame(() => {
      grow(this.text);
      this.text.focus();
      this.text.setSelectionRange(this.text.value.length, this.text.value.length);
      this.text.scrollIntoView({block: "nearest"});
    });
  }
}

/** As high as its text. @param {HTMLTextAreaElement} area */
export function grow(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + area.offsetHeight - area.clientHeight}px`;
}
