// The links between the replicas: how each is, and a button to cut it or heal it.

import {arrange, copyOf, mark, write} from "./kit/dom.js";

// Brackets over more columns than that are a thicket.
const MOST_BRACKETED = 3;

/** @typedef {import("./replica.js").Replica} Replica */

// What either end says counts, the worst first.
const WORST_FIRST = ["refused", "cut", "down", "up"];

/** @param {Replica[]} replicas @returns {[Replica, Replica][]} each pair once */
export function pairs(replicas) {
  return replicas.flatMap((one, n) => replicas.slice(n + 1).map((other) => /** @type {[Replica, Replica]} */ ([one, other])));
}

/** @param {Replica} one @param {Replica} other @returns {string} */
function stateOf(one, other) {
  const said = [one.isSilent ? "down" : one.members.get(other.name)?.state, other.isSilent ? "down" : other.members.get(one.name)?.state];
  return WORST_FIRST.find((state) => said.includes(state)) ?? "unknown";
}

/** @param {Replica} one @param {Replica} other @returns {string} how far their clocks are apart, as either measured it */
function skewOf(one, other) {
  const skew = one.members.get(other.name)?.skew_ms ?? other.members.get(one.name)?.skew_ms;
  return skew === undefined || skew === null ? "" : `clocks ${Math.abs(Math.round(skew))} ms apart`;
}

/** @param {Replica} one @param {Replica} other @returns {string | null} why it is not up, as either end says */
function reasonOf(one, other) {
  return one.members.get(other.name)?.reason ?? other.members.get(one.name)?.reason ?? null;
}

/**
 * Each end stops both ways, but a cut is known at the end that made it: so both are told, to cut and to heal.
 * An end that does not answer is left out; one that does is enough to cut.
 * @param {[Replica, Replica][]} links @param {boolean} cut
 */
export async function setCut(links, cut) {
  /** @type {Map<Replica, string[]>} */
  const orders = new Map();
  for (const [one, other] of links) {
    orders.set(one, [...orders.get(one) ?? [], other.name]);
    orders.set(other, [...orders.get(other) ?? [], one.name]);
  }
  const answers = await Promise.allSettled([...orders].map(async ([replica, peers]) => {
    await replica.api.post(cut ? "drill/cut" : "drill/heal", {peers});
    replica.pollSoon();
  }));
  const failed = answers.find((answer) => answer.status === "rejected");
  if (failed && !answers.some((answer) => answer.status === "fulfilled")) {
    throw /** @type {PromiseRejectedResult} */ (failed).reason;
  }
}

export class Links {
  /** @param {HTMLElement} place @param {(links: [Replica, Replica][], cut: boolean) => void} order */
  constructor(place, order) {
    this.place = place;
    this.order = order;
    /** @type {Map<string, {root: any, parts: Record<string, any>}>} */
    this.items = new Map();
  }

  /** @param {Replica[]} replicas @param {{canCut: boolean, isOverColumns: boolean}} how */
  show(replicas, {canCut, isOverColumns}) {
    const n = replicas.length;
    this.place.style.setProperty("--n", String(n));
    mark(this.place, "data-brackets", isOverColumns && n <= MOST_BRACKETED ? "" : null);
    arrange(this.place, pairs(replicas).map(([one, other]) => {
      const i = replicas.indexOf(one);
      const j = replicas.indexOf(other);
      const item = this.itemOf(one, other);
      const state = stateOf(one, other);
      const isCut = state === "cut";
      // Each column is two tracks wide, so that a bracket ends in the middle of it.
      item.root.style.setProperty("--from", String(2 * i + 2));
      item.root.style.setProperty("--to", String(2 * j + 2));
      item.root.style.setProperty("--row", String(n - (j - i)));     // the wider, the higher
      mark(item.root, "data-state", state);
      write(item.parts.state, state);
      mark(item.parts.state, "title", state === "up" ? null : reasonOf(one, other));
      write(item.parts.skew, state === "up" ? skewOf(one, other) : "");
      write(item.parts.toggle, isCut ? "Heal" : "Cut");
      item.parts.toggle.setAttribute("aria-label", `${isCut ? "Heal" : "Cut"} the link between ${one.name} and ${other.name}`);
      item.parts.toggle.disabled = !canCut;
      return item.root;
    }));
  }

  /** @param {Replica} one @param {Replica} other */
  itemOf(one, other) {
    const name = `${one.name}-${other.name}`;
    const known = this.items.get(name);
    if (known) {
      return known;
    }
    const item = copyOf("link");
    item.root.dataset.link = name;
    write(item.parts.ends, `${one.name} ⇄ ${other.name}`);
    item.parts.toggle.addEventListener("click", () => this.order([[one, other]], stateOf(one, other) !== "cut"));
    this.items.set(name, item);
    return item;
  }
}
