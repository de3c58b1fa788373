// The last two minutes of a figure as a line: attributes only, as the page's policy lets no style in.

import {mark} from "./kit/dom.js";

const POINTS = 60;
const WIDTH = 120;
const HEIGHT = 32;
const EDGE = 2;                 // so that the line is not cut off

export class Spark {
  /** @param {Element} line @param {Element} area below it */
  constructor(line, area) {
    this.line = line;
    this.area = area;
    /** @type {(number | null)[]} */
    this.values = [];
  }

  /** @param {number | null} value null: not known then */
  add(value) {
    this.values = [...this.values, value].slice(-POINTS);
    const runs = this.runs();
    mark(this.line, "d", runs.map((run) => `M${run.join("L")}`).join(""));
    mark(this.area, "d", runs.map((run) => {
      const [first, last] = [run[0], run[run.length - 1]].map((point) => point.split(" ")[0]);
      return `M${first} ${HEIGHT}L${run.join("L")}L${last} ${HEIGHT}Z`;
    }).join(""));
  }

  /** @returns {string[][]} points of what is known without a hole; the newest is at the right. None while nothing changes */
  runs() {
    const known = this.values.filter((value) => value !== null);
    const top = Math.max(...known);
    if (new Set(known).size < 2) {
      return [];
    }
    const from = WIDTH - (this.values.length - 1) * WIDTH / (POINTS - 1);
    /** @type {string[][]} */
    const runs = [[]];
    this.values.forEach((value, n) => {
      if (value === null) {
        runs.push([]);
      } else {
        const x = from + n * WIDTH / (POINTS - 1);
        const y = HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * value / top;
        runs[runs.length - 1].push(`${x.toFixed(1)} ${y.toFixed(1)}`);
      }
    });
    return runs.filter((run) => run.length > 1);
  }
}
