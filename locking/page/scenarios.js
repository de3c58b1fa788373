// Choosing a scenario and a policy, and running it: one policy, or each beside the others.

import {Comparison} from "./comparison.js";
import {arrange, byId, copyOf, mark, write} from "./kit/dom.js";
import {ask, jsonOf} from "./kit/http.js";
import {listenToTransport, replay} from "./replay.js";
import {failingFirst, isFailing, policyWords, sentenceCase} from "./words.js";

const ASK_AGAIN_MS = 1500;
const PATIENCE_MS = 60_000;     // a scenario may wait for a lock's time-out

/** @typedef {import("./verdict.js").Result} Result */
/** @typedef {{name: string, title: string, about: string, policies: string[]}} Scenario */

const comparison = new Comparison(play);
/** @type {Scenario[]} */
let scenarios = [];
let name = "";
let policy = "";

export async function beginScenarios() {
  byId("run").addEventListener("click", () => busy(async () => play(await run(name, policy))));
  byId("compare").addEventListener("click", () => busy(compareAll));
  listenToTransport();
  await load();
}

async function load() {
  try {
    ({scenarios} = await jsonOf(await ask("scenarios")));
  } catch (error) {
    const {message, status} = /** @type {import("./kit/http.js").Failure} */ (error);
    if (status === 401) {
      say(`No scenarios: ${message}.`, "unwell");
      return;
    }
    say(`No scenarios yet: ${message}. Trying again…`, "unwell");
    setTimeout(load, ASK_AGAIN_MS);
    return;
  }
  if (scenarios.length === 0) {
    say("This server has no scenarios.", "waiting");
    return;
  }
  say("", "waiting");
  byId("chooser").hidden = false;
  byId("idle").hidden = false;
  const [wantedName, wantedPolicy] = decodeURIComponent(location.hash.slice(1)).split("/");
  const wanted = scenarios.find((scenario) => scenario.name === wantedName) ?? scenarios[0];
  options(byId("names"), "scenario", scenarios.map((scenario) =>
    ({value: scenario.name, title: scenario.title, tag: ""})), wanted.name, choose);
  choose(wanted.name, wantedPolicy);
}

/** @param {string} wanted @returns {Scenario} */
const scenarioOf = (wanted) => /** @type {Scenario} */ (scenarios.find((scenario) => scenario.name === wanted));

/** @param {string} chosen @param {string} [wantedPolicy] */
function choose(chosen, wantedPolicy = policy) {
  const scenario = scenarioOf(chosen);
  const policies = failingFirst(scenario.policies);
  name = chosen;
  write(byId("story"), scenario.about);
  const wanted = policies.includes(wantedPolicy) ? wantedPolicy : policies[0];
  options(byId("policies"), "policy", policies.map((one) =>
    ({value: one, title: sentenceCase(one), tag: isFailing(one) ? "lets it happen" : ""})), wanted, choosePolicy);
  choosePolicy(wanted);
}

/** @param {string} chosen */
function choosePolicy(chosen) {
  policy = chosen;
  write(byId("cure"), policyWords(chosen));
}

/**
 * Radio buttons.
 * @param {HTMLElement} place @param {string} group
 * @param {{value: string, title: string, tag: string}[]} choices @param {string} wanted
 * @param {(value: string) => void} onChoose
 */
function options(place, group, choices, wanted, onChoose) {
  arrange(place, choices.map(({value, title, tag}) => {
    const {root, parts} = copyOf("option");
    parts.radio.name = group;
    parts.radio.value = value;
    parts.radio.checked = value === wanted;
    parts.radio.addEventListener("change", () => onChoose(value));
    parts.title.textContent = title;
    parts.tag.textContent = tag;
    parts.tag.hidden = !tag;
    return root;
  }));
}

/** @param {string} scenario @param {string} wanted @returns {Promise<Result>} */
async function run(scenario, wanted) {
  return jsonOf(await ask(`scenarios/${encodeURIComponent(scenario)}?policy=${encodeURIComponent(wanted)}`,
    {method: "POST", patienceMs: PATIENCE_MS}));
}

/** Do something that takes a moment; say what became of it when that is nothing good. @param {() => Promise<void>} work */
async function busy(work) {
  if (byId("stage").getAttribute("aria-busy") === "true") {
    return;
  }
  const buttons = [byId("run"), byId("compare")];
  buttons.forEach((button) => mark(button, "aria-disabled", "true"));
  mark(byId("stage"), "aria-busy", "true");
  say("Running against the database…", "waiting");
  try {
    await work();
    say("", "waiting");
  } catch (error) {
    say(`It did not run: ${/** @type {Error} */ (error).message}. Try again in a moment.`, "unwell");
  } finally {
    mark(byId("stage"), "aria-busy", "false");
    buttons.forEach((button) => mark(button, "aria-disabled", null));
  }
}

async function compareAll() {
  const scenario = scenarioOf(name);
  const policies = failingFirst(scenario.policies);
  comparison.begin(scenario.title, policies);
  byId("idle").hidden = true;
  try {
    for (const one of policies) {
      comparison.show(one, await run(scenario.name, one));
    }
  } finally {
    comparison.end();
  }
}

/** @param {Result} result */
function play(result) {
  history.replaceState(null, "", `#${result.scenario}/${result.policy}`);
  byId("idle").hidden = true;
  replay(result, scenarioOf(result.scenario).title);
}

/** @param {string} text @param {"waiting" | "unwell"} mood */
function say(text, mood) {
  write(byId("trouble"), text);
  mark(byId("trouble"), "data-mood", mood);
  byId("trouble").hidden = !text;
}
