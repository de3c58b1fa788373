// Convergence over time: for each replica a strip as high as it is behind, the last minute from left to right.

import {arrange, mark} from "./kit/dom.js";
import {drawn} from "./kit/svg.js";
import {badge} from "./row.js";

const SAMPLES = 240;
const HEIGHT = 16;
const FULL_AT = 8;              // keys; the strip grows with their square root, so that one is seen and eight fill it

/** @typedef {Map<string, number | null>} Sample keys behind by name; null: not known */

export class Strip {
  /** @param {Element} place @param {(name: string) => string} hue */
  constructor(place, hue) {
    this.place = place;
    this.hue = hue;
    /** @type {Sample[]} */
    this.samples = [];
    /** @type {Map<string, {root: HTMLElement, picture: Element, behind: Element, unknown: Element}>} */
    this.lanes = new Map();
  }

  /** @param {Sample} sample */
  add(sample) {
    this.samples.push(sample);
    this.samples.splice(0, this.samples.length - SAMPLES);
    arrange(this.place, [...sample.keys()].map((name) => {
      const {root, picture, behind, unknown} = this.laneOf(name);
      const now = sample.get(name) ?? null;
      mark(behind, "d", this.bars(name, (value) => value ? Math.min(1, Math.sqrt(value / FULL_AT)) : 0));
      mark(unknown, "d", this.bars(name, (value) => value === null ? 1 : 0));
      mark(picture, "aria-label", now === null ? `${name} is not known` : `${name} is behind in ${now} now`);
      return root;
    }));
  }

  /** @param {string} name */
  laneOf(name) {
    const known = this.lanes.get(name);
    if (known) {
      return known;
    }
    const root = document.createElement("div");
    root.className = "lane";
    const label = document.createElement("span");
    label.className = "badge tiny";
    badge(label, name, this.hue);
    mark(label, "aria-hidden", "true");
    const picture = drawn("svg", {viewBox: `0 0 ${SAMPLES} ${HEIGHT}`, preserveAspectRatio: "none", role: "img"});
    const behind = drawn("path", {class: "behind", "data-hue": this.hue(name)});
    const unknown = drawn("path", {class: "unknown"});
    picture.append(drawn("path", {class: "base", d: `M0 ${HEIGHT - 1}H${SAMPLES}`}), unknown, behind);
    root.append(label, picture);
    const lane = {root, picture, behind, unknown};
    this.lanes.set(name, lane);
    return lane;
  }

  /**
   * One path of bars, the newest sample at the right edge.
   * @param {string} name @param {(value: number | null) => number} heightOf between 0 and 1
   */
  bars(name, heightOf) {
    const left = SAMPLES - this.samples.length;
    return this.samples.map((sample, n) => {
      const height = heightOf(sample.get(name) ?? null) * (HEIGHT - 2);
      return height === 0 ? "" : `M${left + n} ${HEIGHT - 1}v-${height.toFixed(1)}h1v${height.toFixed(1)}z`;
    }).join("");
  }
}
