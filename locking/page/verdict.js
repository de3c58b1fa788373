// The end of a run: is the data right, and in one sentence what that means.

import {duration} from "./trace.js";
import {sentenceCase, shown} from "./words.js";

/**
 * @typedef {{scenario: string, policy: string, backend: string, verdict: "safe" | "anomaly", expected: string,
 *            ok: boolean, attempts: number, measure: Record<string, any>, steps: import("./trace.js").Step[]}} Result
 */

/** @param {unknown} value @returns {number} of a number, or of all in a list */
export const total = (value) => Array.isArray(value) ? value.map(total).reduce((sum, one) => sum + one, 0) : Number(value);

/** @param {number} n @param {string} thing @returns {string} */
const counted = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;

/** @type {Record<string, (measure: Record<string, any>, isSafe: boolean) => string>} */
const FINDINGS = {
  "lost-update": ({start, deltas, final, lost}, isSafe) => isSafe
    ? `${[start, ...deltas].join(" + ")} is ${final}, and that is what the row says.`
    : `${[start, ...deltas].join(" + ")} is ${total(start) + total(deltas)}, but the row says ${final}: ${lost} went missing, and nobody was told.`,
  "write-skew": ({on_call}, isSafe) => isSafe
    ? `${counted(on_call, "doctor")} on call, as the rule wants: who came second learned that the first had left, and stayed.`
    : "Nobody is on call. Each change was right by itself; the two together broke the rule.",
  "deadlock": ({completed}, isSafe) => isSafe
    ? `${completed === 2 ? "Both" : `All ${completed}`} came to their end, and nobody waits any more.`
    : `Only ${counted(completed, "transaction")} came to an end.`,
  "seat-booking": ({seats, clients, sold}, isSafe) => isSafe
    ? `${counted(sold, "booking")} for ${counted(seats, "seat")}: ${counted(clients - sold, "client")} came too late, and learned it in time.`
    : `${counted(sold, "booking")} for ${counted(seats, "seat")}: somebody has paid for a seat that another will sit in.`,
  "bank-transfer": ({start, final}, isSafe) => isSafe
    ? `The accounts held ${total(start)} together, and still do.`
    : `The accounts held ${total(start)} together, and now hold ${total(final)}: ${total(final) > total(start) ? `${total(final) - total(start)} came from nowhere` : `${total(start) - total(final)} is gone`}.`,
};

/** @param {Result} result @returns {string} */
export function titleOf({verdict, ok}) {
  const surprise = ok ? "" : ", which nobody expected";
  return verdict === "safe" ? `Safe${surprise}` : `Broken${surprise}`;
}

/** @param {Result} result @returns {string} what the data says */
export function findingOf({scenario, verdict, measure}) {
  const finding = FINDINGS[scenario];
  return finding ? finding(measure, verdict === "safe")
    : Object.entries(measure).map(([name, value]) => `${sentenceCase(name)} ${shown(value)}`).join(", ");
}

/**
 * What a safe end cost.
 * @param {Result} result @param {import("./trace.js").Trace} trace @returns {string}
 */
export function priceOf({attempts, verdict}, {actors, rows, waits}) {
  const again = attempts - actors.length;
  const waitedMs = waits.reduce((sum, {from, to}) => sum + rows[to].step.t_ms - rows[from].step.t_ms, 0);
  const prices = [
    again > 0 ? `${again === 1 ? "One try" : `${again} tries`} had to start over.` : "",
    waitedMs > 0 ? `${duration(waitedMs)} went by in waiting.` : "",
  ].filter((price) => price);
  return prices.join(" ") || (verdict === "safe" ? "Nobody waited, and nobody had to start over." : "");
}
