// The statements, one a row, each in the lane of who sent it; bars beside those who wait.

import {arrange, copyOf, made, mark} from "./kit/dom.js";
import {highlighted} from "./sql.js";
import {duration, markOf, outcomeOfRow} from "./trace.js";

const MOST_COLUMNS = 3;       // more actors do not fit side by side: their statements share one column
const HUES = 8;               // colours in theme.css

/** @param {number} lane @returns {string} */
export const hueOf = (lane) => String(lane % HUES);

export class Timeline {
  /** @type {HTMLElement[]} */
  #rows = [];

  /** @param {HTMLElement} heads @param {HTMLElement} list */
  constructor(heads, list) {
    this.heads = heads;
    this.list = list;
  }

  /** @param {import("./trace.js").Trace} trace */
  load({actors, rows, startMs}) {
    const layout = actors.length > MOST_COLUMNS ? "rails" : "columns";
    for (const place of [this.heads, this.list]) {
      mark(place, "data-layout", layout);
      place.style.setProperty("--lanes", String(actors.length));
    }
    arrange(this.heads, [made("span", "", "when"), ...actors.map((actor, lane) => headOf(actor, lane))]);
    this.#rows = rows.map((row) => rowOf(row, row.step.t_ms - startMs));
    arrange(this.list, this.#rows);
  }

  /** Show so many rows; the last of them is the one to look at. @param {number} place @param {boolean} follows */
  show(place, follows) {
    this.#rows.forEach((row, n) => {
      mark(row, "data-when", n < place - 1 ? null : n === place - 1 ? "now" : "later");
      mark(row, "aria-current", n === place - 1 ? "step" : null);
    });
    if (follows) {
      this.#rows[place - 1]?.scrollIntoView({block: "nearest"});
    }
  }
}

/** @param {string} actor @param {number} lane */
function headOf(actor, lane) {
  const head = made("span", "", "head");
  const badge = made("span", actor, "badge");
  mark(badge, "data-hue", hueOf(lane));
  head.append(badge);
  head.style.setProperty("--lane", String(lane));
  return head;
}

/** @param {import("./trace.js").Row} row @param {number} ms since the first */
function rowOf(row, ms) {
  const {step, lane, kind, rails} = row;
  const {root, parts} = copyOf("step");
  root.style.setProperty("--lane", String(lane));
  mark(root, "data-hue", hueOf(lane));
  mark(root, "data-mark", markOf(kind));
  mark(root, "data-kind", kind);
  parts.when.textContent = duration(ms);
  parts.who.textContent = step.actor;
  parts.sql.replaceChildren(...highlighted(step.sql ?? ""));
  parts.sql.hidden = !step.sql;
  parts.text.textContent = step.note ?? "";
  parts.text.hidden = !step.note;
  const said = outcomeOfRow(row);
  parts.outcome.textContent = said;
  parts.outcome.hidden = !said;
  rails.forEach((rail, n) => {
    const line = made("span", "", "rail");
    mark(line, "aria-hidden", "true");
    mark(line, "data-hue", hueOf(n));
    mark(line, "data-rail", rail);
    mark(line, "data-node", n === lane ? markOf(kind) : null);
    line.style.setProperty("--lane", String(n));
    root.append(line);
  });
  return root;
}
