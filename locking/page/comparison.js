// Every policy of a scenario beside the others, the failing ones first.

import {arrange, byId, copyOf, mark, write} from "./kit/dom.js";
import {duration, traceOf} from "./trace.js";
import {findingOf, titleOf} from "./verdict.js";
import {sentenceCase} from "./words.js";

export class Comparison {
  /** @type {Map<string, Record<string, any>>} */
  #parts = new Map();

  /** @param {(result: import("./verdict.js").Result) => void} onReplay */
  constructor(onReplay) {
    this.onReplay = onReplay;
  }

  /** @param {string} title @param {string[]} policies */
  begin(title, policies) {
    write(byId("comparison-title"), `${title}: every policy`);
    byId("comparison").hidden = false;
    this.#parts.clear();
    arrange(byId("compared"), policies.map((policy) => {
      const {root, parts} = copyOf("compared-policy");
      parts.policy.textContent = sentenceCase(policy);
      this.#parts.set(policy, parts);
      return root;
    }));
  }

  /** @param {string} policy @param {import("./verdict.js").Result} result */
  show(policy, result) {
    const {verdict, finding, price, watch} = this.#parts.get(policy) ?? {};
    const {startMs, endMs} = traceOf(result.steps);
    verdict.textContent = titleOf(result);
    mark(verdict, "data-verdict", result.verdict);
    finding.textContent = findingOf(result);
    price.textContent = `${result.attempts} tries, ${duration(endMs - startMs)}`;
    mark(watch, "aria-label", `Watch ${policy}`);
    watch.hidden = false;
    watch.addEventListener("click", () => this.onReplay(result));
  }

  /** Those that did not run say so. */
  end() {
    for (const {verdict, watch} of this.#parts.values()) {
      if (watch.hidden) {
        verdict.textContent = "did not run";
      }
    }
  }
}
