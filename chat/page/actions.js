// What one can do with a row: one toolbar, which stands in the row one points at or has the focus in.

import {copyOf} from "../kit/dom.js";
import {pickEmoji} from "./reactions.js";

/** @typedef {import("./row.js").RowView} RowView */
/** @typedef {import("./api.js").Message} Message */
/**
 * @typedef {object} Ears
 * @property {(message: Message) => {edit: boolean, remove: boolean, thread: boolean, unread: boolean, react: boolean} | null} may
 * @property {(what: string, message: Message, row: RowView) => void} act
 */

export class Actions {
  /** @param {Ears} ears */
  constructor(ears) {
    this.ears = ears;
    const {root, parts} = copyOf("actions");
    this.root = root;
    this.parts = parts;
    /** @type {RowView | null} */
    this.row = null;
    for (const what of ["thread", "unread", "link", "edit", "remove"]) {
      parts[what].addEventListener("click", () => this.#act(what));
    }
    parts.react.addEventListener("click", () => this.#act("react"));
  }

  /** @param {string} what */
  #act(what) {
    const message = this.row?.item?.message;
    if (this.row && message) {
      this.ears.act(what, message, this.row);
    }
  }

  /**
   * Stand in the rows of this list, and let arrows move through them.
   * @param {HTMLElement} list @param {import("./row.js").Rows} rows
   */
  watch(list, rows) {
    const point = (/** @type {Event} */ event) => this.#stand(rows.at(/** @type {Element} */ (event.target)));
    list.addEventListener("pointerover", point);
    list.addEventListener("focusin", point);
    list.addEventListener("pointerleave", () => {
      if (!this.root.contains(document.activeElement)) {
        this.#stand(null);
      }
    });
    list.addEventListener("keydown", (event) => {
      const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
      const target = /** @type {HTMLElement} */ (event.target);
      if (step && !target.closest("textarea, input, .actions")) {
        const all = /** @type {HTMLElement[]} */ ([...list.querySelectorAll(".row")]);
        const here = all.indexOf(/** @type {HTMLElement} */ (target.closest(".row")));
        const next = all[here < 0 ? all.length - 1 : here + step];
        if (next) {
          event.preventDefault();
          next.focus({preventScroll: true});
          next.scrollIntoView({block: "nearest"});
        }
      }
    });
  }

  /** @param {RowView | null} row */
  #stand(row) {
    const message = row?.item?.message;
    const may = message && !message.deleted ? this.ears.may(message) : null;
    if (!row || !may || row.editor) {
      this.row = null;
      this.root.remove();
      return;
    }
    for (const what of /** @type {const} */ (["edit", "remove", "thread", "unread", "react"])) {
      this.parts[what].hidden = !may[what];
    }
    if (this.row !== row || !this.root.isConnected) {
      this.row = row;
      row.root.append(this.root);
    }
  }

  /** @param {(emoji: string) => void} chosen */
  pick(chosen) {
    pickEmoji(this.parts.react, chosen);
  }
}
