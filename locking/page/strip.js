// The whole run on one line of real time: a tick for each statement, a bar for each wait.

import {made, mark} from "./kit/dom.js";
import {drawn} from "./kit/svg.js";
import {hueOf} from "./timeline.js";
import {duration, markOf} from "./trace.js";

const LANE_PX = 16;
const EDGE_PERCENT = 1;       // so that the marks at both ends are whole

export class Strip {
  /** @type {SVGElement | null} */
  #head = null;
  /** @type {number[]} */
  #times = [];

  /** @param {HTMLElement} place @param {(place: number) => void} onSeek */
  constructor(place, onSeek) {
    this.place = place;
    place.addEventListener("click", (event) => {
      const box = place.querySelector("svg")?.getBoundingClientRect();
      if (box && this.#times.length > 0) {
        onSeek(this.#nearest((event.clientX - box.left) / box.width * 100));
      }
    });
  }

  /** @param {import("./trace.js").Trace} trace */
  load({actors, rows, waits, startMs, endMs}) {
    const percent = (/** @type {number} */ ms) =>
      EDGE_PERCENT + (100 - 2 * EDGE_PERCENT) * (endMs > startMs ? (ms - startMs) / (endMs - startMs) : 0);
    this.#times = rows.map(({step}) => percent(step.t_ms));
    const height = actors.length * LANE_PX;
    const svg = drawn("svg", {height, role: "img", "aria-label": describe({actors, waits, rows, startMs, endMs})});
    actors.forEach((_, lane) => {
      const times = this.#times.filter((_time, n) => rows[n].lane === lane);
      const y = (lane + 0.5) * LANE_PX;
      svg.append(drawn("line", {class: "lane", "data-hue": hueOf(lane), x1: `${Math.min(...times)}%`,
                                x2: `${Math.max(...times)}%`, y1: y, y2: y}));
    });
    for (const {lane, from, to} of waits) {
      svg.append(drawn("rect", {class: "wait", "data-hue": hueOf(lane), x: `${this.#times[from]}%`, rx: 3,
                                y: lane * LANE_PX + 4, height: LANE_PX - 8,
                                width: `${Math.max(0.4, this.#times[to] - this.#times[from])}%`}));
    }
    rows.forEach(({lane, kind}, n) => {
      svg.append(drawn("circle", {class: "mark", "data-hue": hueOf(lane), "data-mark": markOf(kind),
                                  cx: `${this.#times[n]}%`, cy: (lane + 0.5) * LANE_PX,
                                  r: markOf(kind) === "plain" ? 2.5 : 4}));
    });
    this.#head = drawn("line", {class: "head", y1: 0, y2: height});
    svg.append(this.#head);
    const names = made("span", "", "lanes");
    mark(names, "aria-hidden", "true");
    names.append(...actors.map((actor, lane) => {
      const name = made("span", actor);
      mark(name, "data-hue", hueOf(lane));
      return name;
    }));
    this.place.replaceChildren(names, svg, made("span", duration(endMs - startMs), "end soft"));
  }

  /** @param {number} place steps shown */
  show(place) {
    const x = place === 0 ? 0 : this.#times[place - 1] ?? 0;
    if (this.#head) {
      mark(this.#head, "x1", `${x}%`);
      mark(this.#head, "x2", `${x}%`);
    }
  }

  /** @param {number} percent @returns {number} how many steps are shown there */
  #nearest(percent) {
    const far = this.#times.map((time) => Math.abs(time - percent));
    return far.lastIndexOf(Math.min(...far)) + 1;
  }
}

/** @param {import("./trace.js").Trace} trace @returns {string} */
function describe({actors, waits, rows, startMs, endMs}) {
  const waited = waits.map(({lane, from, to}) =>
    `${actors[lane]} waits from ${duration(rows[from].step.t_ms - startMs)} to ${duration(rows[to].step.t_ms - startMs)}`);
  return `Time line of ${duration(endMs - startMs)}: ${waited.length > 0 ? waited.join("; ") : "nobody waits"}.`;
}
