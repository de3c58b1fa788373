// The study: its plots, and from which share of conflicts on locking is the faster way.

import {arrange, byId, copyOf, made, mark, write} from "./kit/dom.js";
import {ask, jsonOf} from "./kit/http.js";
import {findingOf, percent} from "./crossover.js";

const ASK_AGAIN_MS = 1500;

// In the order to be shown: what each is called, and what one sees in it.
const PLOTS = [
  {name: "throughput", title: "Throughput", about: "Units of work done in a second, over the share of tries that conflict."},
  {name: "p99", title: "Slowest of a hundred", about: "How long the slowest of a hundred units of work took, with its retries."},
  {name: "wasted", title: "Wasted", about: "The share of the time that went into tries that had to be thrown away."},
];

/** @typedef {{name: string, summary: import("./crossover.js").Summary, plots: string[]}} Study */

export async function beginStudy() {
  try {
    const response = await ask("study/index.json");
    /** @type {{studies: Study[]}} */
    const {studies} = response.status === 404 ? {studies: []} : await jsonOf(response);
    write(byId("study-said"), studies.length > 0 ? "" : "This server has no study to show. Make one: hotpath-locking study --out DIR");
    mark(byId("study-said"), "data-mood", "waiting");
    byId("study-said").hidden = studies.length > 0;
    arrange(byId("studies"), studies.map(shownStudy));
  } catch (error) {
    write(byId("study-said"), `The study cannot be read: ${/** @type {Error} */ (error).message}. Trying again…`);
    mark(byId("study-said"), "data-mood", "unwell");
    setTimeout(beginStudy, ASK_AGAIN_MS);
  }
}

/** @param {Study} study */
function shownStudy({name, summary, plots}) {
  const {root, parts} = copyOf("one-study");
  parts.title.textContent = [summary.server ?? summary.backend, summary.machine].filter((one) => one).join(", on ");
  parts.finding.textContent = findingOf(summary);
  parts.region.setAttribute("aria-label", `Crossovers on ${summary.backend}`);
  parts.frame.setAttribute("aria-label", `Plot of ${summary.backend}`);
  const shown = PLOTS.filter((plot) => plots.includes(`${plot.name}.svg`));
  arrange(parts.plots, shown.map((plot, n) => {
    const {root: option, parts: {radio, title, tag}} = copyOf("option");
    radio.name = `plot of ${name}`;
    radio.checked = n === 0;
    radio.addEventListener("change", () => showPlot(parts, name, summary.backend, plot));
    title.textContent = plot.title;
    tag.hidden = true;
    return option;
  }));
  if (shown.length > 0) {
    showPlot(parts, name, summary.backend, shown[0]);
  }
  fillTable(parts, summary);
  return root;
}

/** @param {Record<string, any>} parts @param {string} study @param {string} backend @param {typeof PLOTS[0]} plot */
function showPlot({link, image, caption}, study, backend, {name, title, about}) {
  link.href = `study/${encodeURIComponent(study)}/${name}.svg`;
  image.src = link.href;
  image.alt = `${title} on ${backend}; where the lines cross is in the table below`;
  caption.textContent = about;
}

/** A row for each number of workers, a column for each time of work. @param {Record<string, any>} parts @param {import("./crossover.js").Summary} summary */
function fillTable(parts, {crossover}) {
  const works = [...new Set(crossover.map(({work_ms}) => work_ms))].sort((one, other) => one - other);
  const workers = [...new Set(crossover.map((cell) => cell.workers))].sort((one, other) => one - other);
  arrange(parts.columns, [headed("Workers", "col"), ...works.map((work) => headed(`${work} ms of work`, "col"))]);
  arrange(parts.rows, workers.map((n) => {
    const row = made("tr");
    row.append(headed(String(n), "row"), ...works.map((work) => {
      const cell = crossover.find((one) => one.workers === n && one.work_ms === work);
      return made("td", !cell ? "not measured" : cell.conflict_prob === null ? "never" : percent(cell.conflict_prob), "number");
    }));
    return row;
  }));
}

/** @param {string} text @param {"col" | "row"} scope */
function headed(text, scope) {
  const head = made("th", text, scope === "col" && text !== "Workers" ? "number" : "");
  head.scope = scope;
  return head;
}
