// One key at one replica: its value to edit, its stamp, and the writes that lost.

import {copyOf, mark, write} from "./kit/dom.js";
import {isLater, timeOf, writerOf} from "./stamp.js";
import {read, shown} from "./values.js";

/**
 * @typedef {object} Shown
 * @property {import("./listing.js").Cell | undefined} cell
 * @property {string} standing          "same", "newest" or "behind" among the replicas
 * @property {import("./losses.js").Loss[]} losses
 * @property {(name: string) => string} hue   the number of a replica's colour
 */
/** @typedef {(op: "put" | "remove", value?: unknown) => Promise<string | null>} Edit the write's stamp; null: refused */

// A longer value is shown by its beginning, and not edited in a field of one line.
const MOST_EDITABLE = 4096;
const MOST_LOST = 80;

export class Row {
  /** @param {string} key @param {string} replica @param {Edit} edit */
  constructor(key, replica, edit) {
    this.key = key;
    this.edit = edit;
    const {root, parts} = copyOf("row");
    this.root = root;
    this.parts = parts;
    /** What the field held when nobody had typed. */
    this.text = "";
    this.isSaving = false;
    /** @type {string | null} the stamp of what was saved here and has not come back yet */
    this.saved = null;
    root.dataset.key = key;
    write(parts.key, key);
    parts.key.title = key;
    parts.value.setAttribute("aria-label", `Value of ${key} at ${replica}`);
    parts.save.setAttribute("aria-label", `Save ${key} at ${replica}`);
    parts.remove.setAttribute("aria-label", `Remove ${key} at ${replica}`);
    parts.remove.title = "Remove";
    parts.value.addEventListener("input", () => this.showDirt());
    parts.value.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape") {
        this.revert();
      }
    });
    parts.form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.save();
    });
    parts.remove.addEventListener("click", () => this.edit("remove"));
  }

  get isDirty() {
    return this.parts.value.value !== this.text;
  }

  showDirt() {
    mark(this.root, "data-dirty", this.isDirty ? "" : null);
  }

  revert() {
    this.parts.value.value = this.text;
    this.showDirt();
  }

  /** Until it comes back by the stream, as everybody's writes do, the field keeps what was typed. */
  async save() {
    const typed = this.parts.value.value;
    this.isSaving = true;
    this.saved = await this.edit("put", read(typed));
    this.isSaving = false;
    if (this.saved !== null) {
      this.text = typed;
    }
    this.showDirt();
  }

  /** @param {import("./listing.js").Cell | undefined} cell */
  showValue(cell) {
    const {value} = this.parts;
    if (this.isSaving || (this.saved !== null && isLater(this.saved, cell?.stamp))) {
      return;
    }
    this.saved = null;
    const whole = cell?.live ? shown(cell) : "";
    const isLong = whole.length > MOST_EDITABLE;
    const wasDirty = this.isDirty;
    this.text = isLong ? `${whole.slice(0, MOST_EDITABLE)}…` : whole;
    if (!wasDirty) {
      this.revert();                // what somebody is typing stays
    }
    this.showDirt();
    value.title = this.text;
    value.readOnly = isLong || cell?.value_b64 !== undefined;
  }

  /** @param {Shown} now */
  show({cell, standing, losses, hue}) {
    const {parts, root} = this;
    const presence = cell === undefined ? "absent" : cell.live ? "live" : "removed";
    mark(root, "data-presence", presence);
    mark(root, "data-standing", standing);
    write(parts.standing, standing === "same" ? "" : standing);

    this.showValue(cell);
    parts.value.placeholder = presence === "absent" ? "not here" : presence === "removed" ? "removed" : "empty text";
    parts.remove.hidden = presence !== "live";

    parts.when.hidden = parts.by.hidden = parts.hex.hidden = cell === undefined;
    if (cell) {
      showStamp(cell.stamp, parts.when, parts.by, hue);
      write(parts.hex, cell.stamp);
    }
    this.showLosses(losses, hue);
  }

  /** @param {import("./losses.js").Loss[]} losses @param {(name: string) => string} hue */
  showLosses(losses, hue) {
    const {parts} = this;
    parts.lost.hidden = losses.length === 0;
    if (losses.length === 0) {
      return;
    }
    write(parts.loser, losses.map(({loser}) =>
      `${loser.live ? shown(loser).slice(0, MOST_LOST) : "removal"} (${writerOf(loser.stamp)})`).join(", "));
    const {winner} = losses[losses.length - 1];
    write(parts.verdict, `lost to ${timeOf(winner)}`);
    parts.lost.title = [...losses.map(({loser}) => `lost: ${loser.stamp}`), `won: ${winner}`].join("\n");
    badge(parts.winner, writerOf(winner), hue);
  }
}

/** @param {string} stamp @param {Element} when @param {HTMLElement} by @param {(name: string) => string} hue */
function showStamp(stamp, when, by, hue) {
  write(when, timeOf(stamp));
  badge(by, writerOf(stamp), hue);
}

/**
 * A replica's name in its colour.
 * @param {HTMLElement} element @param {string} name @param {(name: string) => string} hue
 */
export function badge(element, name, hue) {
  write(element, name);
  mark(element, "data-hue", hue(name));
}
