// A bar as SVG: attributes only, as the page's policy lets no style in.

import {mark} from "./kit/dom.js";
import {drawn} from "./kit/svg.js";

export class Bar {
  /** @param {Element} place */
  constructor(place) {
    this.svg = drawn("svg", {class: "bar", viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true"});
    this.fill = drawn("rect", {class: "fill", height: 10, width: 0});
    this.more = drawn("rect", {class: "more", height: 10, width: 0});
    this.svg.append(this.fill, this.more);
    place.append(this.svg);
  }

  /** @param {number} share of the whole @param {number} [more] behind it, in another colour */
  show(share, more = 0) {
    const width = 1000 * Math.min(1, Math.max(0, share));
    mark(this.fill, "width", width.toFixed(0));
    mark(this.more, "x", width.toFixed(0));
    mark(this.more, "width", (1000 * Math.min(1 - Math.min(1, share), Math.max(0, more))).toFixed(0));
  }
}
