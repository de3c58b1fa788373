// A bar as SVG: attributes only, as the page's policy lets no style in.

import {mark} from "./kit/dom.js";
import {drawn} from "./kit/svg.js";

export class Bar {
  /** @param {Element} place */
  constructor(place) {
    this.svg = drawn("svg", {class: "bar", viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true"});
    this.fill = drawn("rect", {class: "fill", height: 10, width: 0});
    this.svg.append(this.fill);
    place.append(this.svg);
  }

  /** @param {number} share of the whole */
  show(share) {
    mark(this.fill, "width", (1000 * Math.min(1, Math.max(0, share))).toFixed(0));
  }
}
