// What the house says, as people say it.

/**
 * @typedef {{label: string, value: number | null, unit: string | null}} Figure
 * @typedef {{path: string, text: string}} Link
 * @typedef {{name: string, title: string, about: string, path: string | null, well: boolean, latency_ms: number | null,
 *            restarts: number, engine: string | null, figures: Figure[], links: Link[]}} Part
 * @typedef {{version: string, check_every_s: number, parts: Part[]}} Status
 */

/** What to do first, with the systems that we know. @type {Record<string, string | undefined>} */
export const HINTS = {
  proxy: "Try: load this address with wrk, and watch the line below.",
  chat: "Try: make an account in two windows, and write to yourself. Kill a part: nothing is lost.",
  ide: "Try: a project from a template, then type into its terminal while packages still install.",
  crdt: "Try: cut the replicas apart, edit each, heal them, and watch them agree.",
  shard: "Try: add a shard and see a quarter of the rows move to it while it serves.",
  locking: "Try: let two people book the last seat, then see each cure hold.",
};

const NUMBERS = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight"];
const LIST = new Intl.ListFormat("en", {type: "conjunction"});
const CLOCK = new Intl.DateTimeFormat(undefined, {timeStyle: "medium"});

/** @param {Part[]} parts @returns {{mood: string, text: string}} */
export function verdictOn(parts) {
  const unwell = parts.filter(({well}) => !well).map(({title}) => title);
  if (unwell.length === 0) {
    return {mood: "well", text: parts.length === 1 ? "It is well." : `All ${NUMBERS[parts.length] ?? parts.length} are well.`};
  }
  const [verb, what] = unwell.length === 1 ? ["does", "it is"] : ["do", "they are"];
  return {mood: "unwell", text: `${LIST.format(unwell)} ${verb} not answer; ${what} started again.`};
}

/** @param {Part} part @param {number | null} before restarts when it was last well; null: not known @returns {{mood: string, text: string}} */
export function stateOf({well, restarts}, before) {
  if (well) {
    return {mood: "well", text: "well"};
  }
  return before !== null && restarts > before ? {mood: "caution", text: "starting again"} : {mood: "unwell", text: "does not answer"};
}

/** @param {Part} part @returns {string} */
export function healthOf({well, latency_ms: latencyMs, restarts}) {
  const again = restarts === 0 ? "" : restarts === 1 ? "restarted once" : `restarted ${restarts} times`;
  const answer = well && latencyMs !== null ? `answers in ${valueOf(latencyMs)}\u00a0ms` : "";
  return [answer, again].filter(Boolean).join(", ");
}

/** @param {number | null} value @returns {string} with thin spaces between thousands; – when not known */
export const valueOf = (value) => value === null ? "–"
  : value.toLocaleString("en", {maximumFractionDigits: Math.abs(value) < 10 ? 1 : 0}).replaceAll(",", "\u202f");

/** @param {import("./kit/http.js").Failure} failure @returns {string} */
export const lostSentence = ({status, message}) => status === 0
  ? "The house does not answer. Trying again…"
  : `The front door is there, but nobody says how the systems are: ${message}. Trying again…`;

/** @param {number} at @returns {string} */
export const clock = (at) => CLOCK.format(at);

/** @param {Headers} headers of an answer @returns {number | null} seconds since its document was written, by the server's clock */
export function ageOf(headers) {
  const [now, written] = ["Date", "Last-Modified"].map((name) => Date.parse(headers.get(name) ?? ""));
  return Number.isNaN(now - written) ? null : Math.max(0, (now - written) / 1000);
}
