// A counter that many requests raise at once: does it count what was acknowledged?

import {arrange, byId, made, mark, write} from "./kit/dom.js";
import {ask, Failure, jsonOf} from "./kit/http.js";
import {duration} from "./trace.js";
import {failingFirst, sentenceCase} from "./words.js";

const POLICIES = ["naive", "optimistic", "pessimistic", "escalating", "adaptive", "atomic"];
const BURST = 20;
const PATIENCE_MS = 60_000;

// A counter of this page alone: what others add is none of its business.
const id = `page-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
let isBusy = false;

export function beginCounter() {
  arrange(byId("counter-policy"), failingFirst(POLICIES).map((policy) => {
    const choice = made("option", sentenceCase(policy));
    choice.value = policy;
    return choice;
  }));
  byId("burst").addEventListener("click", () => add(BURST));
  byId("one").addEventListener("click", () => add(1));
}

/** @param {string} policy @returns {Promise<number>} how many tries it took */
async function increment(policy) {
  const response = await ask(`counters/${id}/increment?policy=${policy}`, {method: "POST", patienceMs: PATIENCE_MS});
  return (await jsonOf(response)).attempts;
}

/** @returns {Promise<number>} */
async function value() {
  const response = await ask(`counters/${id}`);
  return response.status === 404 ? 0 : (await jsonOf(response)).value;
}

/** @param {number} n requests at once */
async function add(n) {
  if (isBusy) {
    return;
  }
  isBusy = true;
  const policy = byId("counter-policy").value;
  const buttons = [byId("burst"), byId("one")];
  buttons.forEach((button) => mark(button, "aria-disabled", "true"));
  write(byId("counter-said"), "Counting…");
  mark(byId("counter-said"), "data-mood", null);
  try {
    const before = await value();
    const startMs = performance.now();
    const answers = await Promise.allSettled(Array.from({length: n}, () => increment(policy)));
    const tookMs = performance.now() - startMs;
    const after = await value();
    const tries = answers.flatMap((answer) => answer.status === "fulfilled" ? [answer.value] : []);
    const refused = answers.flatMap((answer) => answer.status === "rejected" ? [answer.reason] : []);
    tell({policy, sent: n, tries, refused, counted: after - before, value: after, tookMs});
  } catch (error) {
    write(byId("counter-said"), `It did not count: ${/** @type {Error} */ (error).message}.`);
    mark(byId("counter-said"), "data-mood", "unwell");
  }
  buttons.forEach((button) => mark(button, "aria-disabled", null));
  isBusy = false;
}

/**
 * @param {{policy: string, sent: number, tries: number[], refused: Failure[], counted: number, value: number,
 *          tookMs: number}} burst
 */
function tell({policy, sent, tries, refused, counted, value, tookMs}) {
  const acknowledged = tries.length;
  const lost = acknowledged - counted;
  const gaveUp = refused.length === 0 ? "" : ` ${refused.length} of ${sent} got no answer or were told to come again (${refused[0].message}).`;
  const verdict = lost > 0
    ? `${acknowledged} were acknowledged, but the counter rose by ${counted}: ${lost} lost.`
    : `${acknowledged} acknowledged, ${counted} counted. The counter is at ${value}.`;
  write(byId("counter-said"), verdict + gaveUp);
  mark(byId("counter-said"), "data-mood", lost > 0 ? "unwell" : "well");
  byId("bursts-wide").hidden = false;
  const row = made("tr");
  const head = made("th", sentenceCase(policy));
  head.scope = "row";
  const mean = acknowledged === 0 ? "none" : (tries.reduce((sum, one) => sum + one, 0) / acknowledged).toFixed(1);
  row.append(head, ...[acknowledged, counted, lost, mean, duration(tookMs)].map((cell) => made("td", String(cell), "number")));
  mark(row, "data-mood", lost > 0 ? "unwell" : null);
  byId("bursts").prepend(row);
}
