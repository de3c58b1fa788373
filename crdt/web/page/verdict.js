// The one sentence: do they agree?

/** @typedef {{text: string, mood: "well" | "caution" | "waiting" | "unwell"}} Verdict */

const NUMBERS = ["no", "one", "two", "three", "four", "five"];

/** @param {string[]} names @returns {string} "a, b and c" */
export const listed = (names) =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;

/** @param {number} n @param {string} thing @returns {string} "1 key", "2 keys" */
export const counted = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;

/**
 * @param {string[][]} groups those who hold the same @param {number} n_keys in which not all are the same
 * @returns {string}
 */
function difference(groups, n_keys) {
  const [one, other] = groups;
  const keys = counted(n_keys, "key");
  if (groups.length === 2 && one.length + other.length > 2) {
    const [lone, rest] = one.length <= other.length ? [one, other] : [other, one];
    return `${listed(lone)} ${lone.length === 1 ? "differs" : "differ"} from ${listed(rest)} in ${keys}`;
  }
  return `${listed(groups.flat().sort())} differ in ${keys}`;
}

/** @param {string[]} names who agree, or all there is @param {boolean} isEverybody @returns {string} */
function agreement(names, isEverybody) {
  if (names.length === 1) {
    return isEverybody ? `${names[0]} is alone, and agrees with itself` : `only ${names[0]} is there to ask`;
  }
  if (!isEverybody) {
    return `${listed(names)} agree`;
  }
  return names.length === 2 ? "Both agree" : `All ${NUMBERS[names.length] ?? names.length} agree`;
}

/**
 * @param {import("./replica.js").Replica[]} replicas
 * @param {import("./compare.js").Comparison} comparison of those that are known
 * @returns {Verdict}
 */
export function verdictOn(replicas, comparison) {
  const known = replicas.filter(({isKnown}) => isKnown);
  const silent = replicas.filter(({state}) => state === "silent").map(({name}) => name);
  const late = replicas.filter(({isKnown, state}) => !isKnown && state !== "silent").map(({name}) => name);
  const clauses = [];
  if (silent.length > 0) {
    clauses.push(`${listed(silent)} ${silent.length === 1 ? "does" : "do"} not answer`);
  }
  if (late.length > 0) {
    clauses.push(`still reading ${listed(late)}`);
  }
  const isEverybody = clauses.length === 0;

  if (comparison.split.size > 0) {
    clauses.push(difference(comparison.groups, comparison.split.size));
    return {text: sentence(clauses), mood: "caution"};
  }
  if (known.length > 0) {
    const roots = new Set(known.map(({digest}) => digest?.root));
    if (roots.size > 1 && known.every(({isDigestFresh}) => isDigestFresh)) {
      // The roots cover what is not shown too: tombstones that we did not ask for, and keys behind a horizon.
      clauses.push(`${listed(known.map(({name}) => name))} show the same keys; their digests do not match yet`);
      return {text: sentence(clauses), mood: "waiting"};
    }
    clauses.push(agreement(known.map(({name}) => name), isEverybody));
  }
  const mood = silent.length > 0 ? "unwell" : late.length > 0 ? "waiting" : "well";
  return {text: sentence(clauses), mood};
}

/** @param {string[]} clauses @returns {string} */
function sentence(clauses) {
  const text = clauses.join("; ");
  // A replica's name keeps its small letter.
  return `${text.startsWith("still") || text.startsWith("only") ? text[0].toUpperCase() + text.slice(1) : text}.`;
}
