// What happened, made ready to draw: who acted in which row, and who waited meanwhile.

import {outcomeOf} from "./words.js";

/**
 * @typedef {{n: number, t_ms: number, actor: string, sql: string | null, outcome: string,
 *            note?: string}} Step
 * @typedef {"none" | "first" | "line" | "last" | "wait-first" | "wait-from" | "wait"
 *           | "wait-to"} Rail  a lane beside one row
 * @typedef {{step: Step, lane: number, kind: string, attempt: number, waitedMs: number | null,
 *            rails: Rail[]}} Row
 * @typedef {{lane: number, from: number, to: number, isOver: boolean}} Wait  rows
 * @typedef {{actors: string[], rows: Row[], waits: Wait[], startMs: number, endMs: number}} Trace
 */

const FAILURES = new Set(["conflict", "deadlock", "timeout", "error"]);

/** @param {string} kind @returns {"bad" | "wait" | "retry" | "plain"} how it is marked */
export function markOf(kind) {
  return FAILURES.has(kind) ? "bad" : kind === "wait" || kind === "retry" ? kind : "plain";
}

/** @param {Step[]} steps in their order @returns {Trace} */
export function traceOf(steps) {
  const actors = [...new Set(steps.map(({actor}) => actor))];
  const firsts = actors.map((actor) => steps.findIndex((step) => step.actor === actor));
  const lasts = actors.map((actor) => steps.findLastIndex((step) => step.actor === actor));
  const attempts = actors.map(() => 1);
  /** @type {(Wait | null)[]} */
  const open = actors.map(() => null);
  /** @type {Wait[]} */
  const waits = [];
  const rows = steps.map((step, place) => {
    const lane = actors.indexOf(step.actor);
    const kind = step.outcome;
    let waitedMs = null;
    const ended = open[lane];
    if (ended) {
      [ended.to, ended.isOver] = [place, true];
      waitedMs = step.t_ms - steps[ended.from].t_ms;
      open[lane] = null;
    }
    if (kind === "wait") {
      open[lane] = {lane, from: place, to: steps.length - 1, isOver: false};
      waits.push(/** @type {Wait} */ (open[lane]));
    }
    const attempt = attempts[lane];
    if (kind === "retry") {
      attempts[lane] += 1;
    }
    /** @type {Rail[]} */
    const rails = actors.map((_, n) => 
      place < firsts[n] || place > lasts[n] ? "none" : place === firsts[n] ? "first" : place === lasts[n] ? "last" : "line");
    return {step, lane, kind, attempt, waitedMs, rails};
  });
  for (const {lane, from, to} of waits) {
    for (let place = from; place <= to; place += 1) {
      rows[place].rails[lane] = place === from ? (from === firsts[lane] ? "wait-first" : "wait-from") : place === to ? "wait-to" : "wait";
    }
  }
  return {actors, rows, waits, startMs: steps[0]?.t_ms ?? 0, endMs: steps[steps.length - 1]?.t_ms ?? 0};
}

/**
 * What is shown beside a statement.
 * @param {Row} row @returns {string}
 */
export const outcomeOfRow = ({kind, attempt, waitedMs, step}) => outcomeOf(kind, {
  attempt, waited: waitedMs === null ? null : duration(waitedMs), isStatement: step.sql !== null,
});

/** @param {number} ms @returns {string} "0.4 ms", "35 ms", "1.2 s" */
export function duration(ms) {
  if (ms >= 1000) {
    return `${(ms / 1000).toFixed(1)} s`;
  }
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}
