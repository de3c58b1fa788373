// A long conversation with few rows in the page: those around what one looks at. Nothing jumps when rows come or go.

import {arrange} from "../kit/dom.js";

/** @typedef {import("./row.js").Item} Item */
/**
 * @typedef {object} Ears
 * @property {(item: Item, before: Item | undefined) => HTMLElement} draw
 * @property {() => void} drawn
 * @property {(where: "before" | "after") => void} more      rows beyond the known ones are wanted
 * @property {() => void} moved
 */

const MAX_ROWS = 240;           // in the page
const TAIL_ROWS = 120;          // when one reads along at the end
const STEP = 80;
const NEAR_PX = 1000;           // an edge so near wants more rows
const BOTTOM_PX = 48;           // so near to the end one reads along

export class LogWindow {
  /** @param {HTMLElement} log that scrolls @param {HTMLElement} rows within it @param {Ears} ears */
  constructor(log, rows, ears) {
    this.log = log;
    this.rows = rows;
    this.ears = ears;
    /** @type {Item[]} */
    this.items = [];
    this.hasBefore = false;
    this.hasAfter = false;
    this.start = 0;
    this.end = 0;
    /** Of the first row in the page; finds it again when rows came before it. @type {Item | null} */
    this.first = null;
    /** Whether new rows scroll into view. */
    this.sticks = true;
    this.lastTop = 0;
    log.addEventListener("scroll", () => this.#scrolled(), {passive: true});
    const watch = new ResizeObserver(() => this.#settle(null));
    watch.observe(log);
    watch.observe(rows);
  }

  /** Another conversation. */
  clear() {
    this.items = [];
    this.first = null;
    this.sticks = true;
    this.hasBefore = this.hasAfter = false;
    this.start = this.end = 0;
    this.rows.replaceChildren();
    this.lastTop = 0;                   // the list fell in by itself: nobody scrolled up
  }

  get isAtEnd() {
    return this.sticks && !this.hasAfter;
  }

  /** @param {Item[]} items @param {{hasBefore: boolean, hasAfter: boolean}} edges */
  show(items, {hasBefore, hasAfter}) {
    this.items = items;
    this.hasBefore = hasBefore;
    this.hasAfter = hasAfter;
    if (this.isAtEnd) {
      this.#draw(items.length - TAIL_ROWS, items.length);
    } else {
      const start = this.#placeOfFirst();
      this.#draw(start, start + Math.max(TAIL_ROWS, this.end - this.start));
      // Rows that came may be wanted at once: who stands at an edge scrolls no further, and no event would say so.
      const {scrollTop, scrollHeight, clientHeight} = this.log;
      this.#extend(scrollTop, scrollHeight - scrollTop - clientHeight, scrollTop < NEAR_PX);
    }
  }

  /** Where the first row of the page now is among the items; it may have gone. */
  #placeOfFirst() {
    const {first, items} = this;
    if (!first) {
      return 0;
    }
    const place = items.findIndex(({key}) => key === first.key);
    if (place >= 0) {
      return place;
    }
    const seq = first.message?.seq ?? Infinity;
    const next = items.findIndex(({message}) => message && message.seq >= seq);
    return next >= 0 ? next : Math.max(0, items.length - TAIL_ROWS);
  }

  /** @param {number} start @param {number} end */
  #draw(start, end) {
    const anchor = this.#anchor();
    this.end = Math.min(this.items.length, end);
    this.start = Math.max(0, start);
    this.first = this.items[this.start] ?? null;
    const shown = this.items.slice(this.start, this.end);
    arrange(this.rows, shown.map((item, i) => this.ears.draw(item, this.items[this.start + i - 1])));
    this.#settle(anchor);
    this.ears.drawn();
  }

  /** The first row one sees, and where it stands. @returns {{element: Element, top: number} | null} */
  #anchor() {
    const {top} = this.log.getBoundingClientRect();
    const children = this.rows.children;
    let low = 0;
    let high = children.length;
    while (low < high) {
      const middle = low + high >> 1;
      if (children[middle].getBoundingClientRect().bottom > top) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    const element = children[low];
    return element ? {element, top: element.getBoundingClientRect().top} : null;
  }

  /** @param {{element: Element, top: number} | null} anchor */
  #settle(anchor) {
    if (this.isAtEnd) {
      this.log.scrollTop = this.log.scrollHeight;
    } else if (anchor?.element.isConnected) {
      this.log.scrollTop += anchor.element.getBoundingClientRect().top - anchor.top;
    }
    this.lastTop = this.log.scrollTop;
  }

  #scrolled() {
    const {scrollTop, scrollHeight, clientHeight} = this.log;
    const below = scrollHeight - scrollTop - clientHeight;
    const isAtEnd = below < BOTTOM_PX && this.end === this.items.length && !this.hasAfter;
    if (isAtEnd) {
      this.sticks = true;
    } else if (scrollTop < this.lastTop) {
      this.sticks = false;              // only a reader scrolls up; growing rows do not
    }
    const isUp = scrollTop < this.lastTop;
    this.lastTop = scrollTop;
    this.#extend(scrollTop, below, isUp);
    this.ears.moved();
  }

  /** @param {number} above @param {number} below @param {boolean} isUp */
  #extend(above, below, isUp) {
    if (above < NEAR_PX && (isUp || above === 0)) {
      if (this.start > 0) {
        const start = Math.max(0, this.start - STEP);
        this.#draw(start, Math.min(this.end, start + MAX_ROWS));
      } else if (this.hasBefore) {
        this.ears.more("before");
      }
    } else if (below < NEAR_PX && !this.isAtEnd) {
      if (this.end < this.items.length) {
        const end = Math.min(this.items.length, this.end + STEP);
        this.#draw(Math.max(this.start, end - MAX_ROWS), end);
      } else if (this.hasAfter) {
        this.ears.more("after");
      }
    }
  }

  /** Everything known is shown and there is room: ask for more, so that one can scroll at all. */
  fillUp() {
    if (this.hasBefore && this.start === 0 && this.log.scrollHeight <= this.log.clientHeight + NEAR_PX / 2) {
      this.ears.more("before");
    }
  }

  /** Go to the end and read along. */
  toEnd() {
    this.sticks = true;
    if (!this.hasAfter) {
      this.#draw(this.items.length - TAIL_ROWS, this.items.length);
    }
    this.ears.moved();
  }

  /** @param {number} seq @returns {HTMLElement | null} the row, now in view; null when it is not known */
  reveal(seq) {
    const place = this.items.findIndex(({message}) => message !== null && message.seq >= seq);
    if (place < 0) {
      return null;
    }
    this.sticks = false;
    this.#draw(place - MAX_ROWS / 2, place + MAX_ROWS / 2);
    const row = /** @type {HTMLElement | undefined} */ (this.rows.children[place - this.start]);
    row?.scrollIntoView({block: "center"});
    this.lastTop = this.log.scrollTop;
    return row ?? null;
  }
}
