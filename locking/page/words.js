// What the page says, in words for someone who has never heard of write skew.

/** @type {Record<string, string>} */
const POLICIES = {
  "naive": "No guard: read, think, write what one has reckoned.",
  "version-only": "Each write checks the version of its own row. What was only read is not checked.",
  "optimistic": "Nobody waits. A version number is checked at the write; who comes second starts over with fresh data.",
  "pessimistic": "The row is locked when it is read. Who comes second waits, and then reads what the first has written.",
  "escalating": "Optimistic at first; who has lost twice takes the lock.",
  "adaptive": "Optimistic, but locks the rows on which there were conflicts lately.",
  "atomic": "One statement reads and writes: the database adds, and there is no gap to fall into.",
  "unchanged": "At the end it also checks that the rows it only read are still as it saw them.",
  "retried": "The locks are taken in any order. Who is chosen as the deadlock's victim rolls back and starts over.",
  "ordered": "Everybody takes the locks in one order. A circle of waiting cannot close, so there is no deadlock.",
};

const FAILING = new Set(["naive", "version-only"]);

/** @param {string} name @returns {string} */
export const policyWords = (name) => POLICIES[name] ?? "";

/** @param {string[]} policies @returns {string[]} those first that let it happen */
export const failingFirst = (policies) =>
  [...policies].sort((one, other) => Number(FAILING.has(other)) - Number(FAILING.has(one)));

/** @param {string} policy @returns {boolean} */
export const isFailing = (policy) => FAILING.has(policy);

/** @param {string} name "lost-update" @returns {string} "Lost update" */
export const sentenceCase = (name) => name.charAt(0).toUpperCase() + name.slice(1).replace(/[-_]/g, " ");

/**
 * What happened to a statement, if that is worth a word.
 * @param {string} kind @param {{attempt: number, waited: string | null, isStatement: boolean}} how
 * @returns {string}
 */
export function outcomeOf(kind, {attempt, waited, isStatement}) {
  const after = waited === null ? "" : ` after ${waited}`;
  switch (kind) {
    case "ok": return waited === null ? "" : `goes on${after}`;
    case "note": return "";
    case "wait": return "waits";
    case "retry": return `starts over: try ${attempt + 1}`;
    case "conflict": return isStatement ? `conflict${after}: somebody was first` : "conflict: what it had read has changed";
    case "deadlock": return `deadlock${after}: chosen as the victim`;
    case "timeout": return `gave up waiting${after}`;
    default: return `${sentenceCase(kind)}${after}`;
  }
}

/** @param {unknown} value @returns {string} */
export function shown(value) {
  if (Array.isArray(value)) {
    return value.map(shown).join(", ");
  }
  if (value !== null && typeof value === "object") {
    return Object.entries(value).map(([name, one]) => `${name} ${shown(one)}`).join(", ");
  }
  return typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
}
