// The replay of a run: step by step, forward and back, by itself or by key, with the verdict at its end.

import {arrange, byId, made, mark, write} from "./kit/dom.js";
import {Player} from "./player.js";
import {Strip} from "./strip.js";
import {Timeline} from "./timeline.js";
import {outcomeOfRow, traceOf} from "./trace.js";
import {findingOf, priceOf, titleOf} from "./verdict.js";
import {sentenceCase, shown} from "./words.js";

const prefersCalm = matchMedia("(prefers-reduced-motion: reduce)");

/** @typedef {import("./verdict.js").Result} Result */

const player = new Player();
const strip = new Strip(byId("strip"), (place) => player.seek(place));
const timeline = new Timeline(byId("heads"), byId("timeline"));
/** @type {{result: Result, trace: import("./trace.js").Trace} | null} */
let current = null;

/** Begin with it. @param {Result} result @param {string} title of its scenario */
export function replay(result, title) {
  const trace = traceOf(result.steps);
  current = {result, trace};
  byId("stage").hidden = false;
  write(byId("playing"), `${title}, ${result.policy}, on ${result.backend}`);
  strip.load(trace);
  timeline.load(trace);
  showVerdict(result, trace);
  byId("seek").max = String(trace.rows.length);
  player.load(trace.rows.length, {plays: !prefersCalm.matches});
  if (byId("stage").getBoundingClientRect().top > innerHeight / 2) {
    byId("stage").scrollIntoView({block: "start"});
  }
}

/** @param {Result} result @param {import("./trace.js").Trace} trace */
function showVerdict(result, trace) {
  mark(byId("verdict"), "data-verdict", result.verdict);
  write(byId("verdict-title"), titleOf(result));
  write(byId("meaning"), `${findingOf(result)} ${priceOf(result, trace)}`.trim());
  arrange(byId("measure"), Object.entries({...result.measure, attempts: result.attempts}).map(([key, value]) => {
    const pair = made("div");
    pair.append(made("dt", sentenceCase(key)), made("dd", shown(value)));
    return pair;
  }));
}

function render() {
  const {place, count, isPlaying} = player;
  const isOver = place === count;
  timeline.show(place, player.hasMoved);
  strip.show(place);
  byId("verdict").hidden = !isOver;
  if (isOver && player.hasMoved) {
    byId("verdict").scrollIntoView({block: "nearest"});
  }
  byId("seek").value = String(place);
  byId("seek").setAttribute("aria-valuetext", `step ${place} of ${count}`);
  write(byId("place"), `${place} / ${count}`);
  write(byId("play"), isPlaying ? "Pause" : isOver ? "Play again" : "Play");
  for (const id of ["first", "back"]) {
    mark(byId(id), "aria-disabled", place === 0 ? "true" : null);
  }
  for (const id of ["forward", "last"]) {
    mark(byId(id), "aria-disabled", isOver ? "true" : null);
  }
  announce(isOver);
}

/** By itself only the end is announced; a step that somebody asked for, too. @param {boolean} isOver */
function announce(isOver) {
  if (!current) {
    return;
  }
  const {result, trace} = current;
  if (isOver) {
    write(byId("said"), `${titleOf(result)}. ${findingOf(result)}`);
  } else if (!player.isPlaying && player.place > 0) {
    const row = trace.rows[player.place - 1];
    const {actor, sql, note} = row.step;
    write(byId("said"), [actor, sql, note, outcomeOfRow(row)].filter((part) => part).join(": "));
  }
}

export function listenToTransport() {
  player.addEventListener("change", render);
  byId("first").addEventListener("click", () => player.seek(0));
  byId("back").addEventListener("click", () => player.seek(player.place - 1));
  byId("play").addEventListener("click", () => player.toggle());
  byId("forward").addEventListener("click", () => player.seek(player.place + 1));
  byId("last").addEventListener("click", () => player.seek(player.count));
  byId("seek").addEventListener("input", () => player.seek(Number(byId("seek").value)));
  byId("pace").addEventListener("change", () => {
    player.paceMs = Number(byId("pace").value);
  });
  document.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (!current || event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea, #live, #study")) {
      return;
    }
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => player.seek(player.place - 1),
      ArrowRight: () => player.seek(player.place + 1),
    };
    if (!target.closest("button, a")) {
      keys[" "] = () => player.toggle();
    }
    if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  });
}
