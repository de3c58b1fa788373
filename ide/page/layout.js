// Which panes are shown, and how large: dragged or by arrow keys, kept in this browser. A phone shows one at a time.

import {mark} from "./kit/dom.js";
import {h} from "./dom.js";

/** @typedef {"side" | "terminal" | "preview"} Pane */

const KEY = "hotpath-ide/layout";
const SIZES = {side: [150, 260, 640], terminal: [80, 260, 900], preview: [220, 460, 1400]};     // px: least, first, most

export const isNarrow = matchMedia("(max-width: 48rem)");

export class Layout {
  /** @param {HTMLElement} root @param {() => void} changed */
  constructor(root, changed) {
    this.root = root;
    this.changed = changed;
    /** @type {{shown: Record<string, boolean>, sizes: Record<string, number>}} */
    this.kept = {shown: {side: true, terminal: true, preview: false}, sizes: {}};
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
      Object.assign(this.kept.shown, kept.shown);
      Object.assign(this.kept.sizes, kept.sizes);
    } catch {
      // As it was made.
    }
    this.kept.shown.preview = false;      // it opens when something listens
    /** @type {Record<string, HTMLElement>} */
    this.handles = {};
    mark(root, "data-at", "side");
    isNarrow.addEventListener("change", () => this.draw());
  }

  /** @param {Pane} pane @returns {boolean} */
  isShown(pane) {
    return isNarrow.matches ? this.root.dataset.at === pane : this.kept.shown[pane];
  }

  /** Make it seen, also on a phone. @param {Pane | "editor"} pane */
  reveal(pane) {
    mark(this.root, "data-at", pane);
    if (pane !== "editor" && !this.kept.shown[pane]) {
      this.kept.shown[pane] = true;
    }
    this.draw();
  }

  /** @param {Pane} pane @param {boolean} [wanted] */
  toggle(pane, wanted = !this.isShown(pane)) {
    this.kept.shown[pane] = wanted;
    if (isNarrow.matches) {
      mark(this.root, "data-at", wanted ? pane : "editor");
    }
    this.draw();
  }

  draw() {
    for (const pane of Object.keys(SIZES)) {
      mark(this.root, `data-${pane}`, this.kept.shown[pane] ? "shown" : "hidden");
      const size = this.kept.sizes[pane] ?? SIZES[/** @type {Pane} */ (pane)][1];
      this.root.style.setProperty(`--${pane}-size`, `${size}px`);
      mark(this.handles[pane] ?? this.root, "aria-valuenow", this.handles[pane] ? String(size) : null);
    }
    try {
      localStorage.setItem(KEY, JSON.stringify(this.kept));
    } catch {
      // Full: the next page looks as the first did.
    }
    this.changed();
  }

  /** What one drags between two panes. @param {Pane} pane @param {string} name */
  handle(pane, name) {
    const [least, , most] = SIZES[pane];
    const isFlat = pane === "terminal";
    const sign = pane === "side" ? 1 : -1;
    const size = () => this.kept.sizes[pane] ?? SIZES[pane][1];
    const set = (/** @type {number} */ px) => {
      this.kept.sizes[pane] = Math.round(Math.max(least, Math.min(most, px, (isFlat ? innerHeight : innerWidth) - 160)));
      this.draw();
    };
    const handle = h("div", {
      class: `handle for-${pane}`, role: "separator", tabindex: "0", "aria-label": name, "aria-orientation": isFlat ? "horizontal" : "vertical",
      "aria-valuemin": String(least), "aria-valuemax": String(most), "aria-valuenow": String(size()),
      onpointerdown: (/** @type {PointerEvent} */ event) => {
        handle.setPointerCapture(event.pointerId);
        const [from, before] = [isFlat ? event.clientY : event.clientX, size()];
        const move = (/** @type {PointerEvent} */ now) => set(before + sign * ((isFlat ? now.clientY : now.clientX) - from));
        handle.addEventListener("pointermove", move);
        handle.addEventListener("lostpointercapture", () => handle.removeEventListener("pointermove", move), {once: true});
        event.preventDefault();
      },
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        const step = {ArrowLeft: isFlat ? 0 : -sign, ArrowRight: isFlat ? 0 : sign, ArrowUp: isFlat ? 1 : 0, ArrowDown: isFlat ? -1 : 0}[event.key];
        if (step) {
          event.preventDefault();
          set(size() + 20 * step);
        }
      },
      ondblclick: () => set(SIZES[pane][1]),
    });
    this.handles[pane] = handle;
    return handle;
  }
}
