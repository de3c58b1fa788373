// The move under way: how far it is, and the hands that steer it.

import {Bar} from "./bar.js";
import {arrange, byId, mark, write} from "./kit/dom.js";
import {duration, percent, whole} from "./format.js";

const STEPS = ["preparing", "opening", "copying", "verifying", "verified", "completing", "cleaning", "done"];
const CANCEL_STEPS = ["cancelling", "cancelled"];
const OVER = ["done", "cancelled"];
const CAN_CANCEL = STEPS.slice(0, STEPS.indexOf("completing"));

/** @param {any} reshard @returns {number} between 0 and 1, of what its state is about */
function shareOf({state, rows, slots}) {
  const part = (/** @type {number} */ done, /** @type {number} */ of) => of > 0 ? Math.min(1, done / of) : 1;
  switch (state) {
    case "preparing": case "opening": return 0;
    case "verifying": return part(rows.verified, rows.total);
    case "cleaning": return part(rows.deleted, rows.total);
    case "copying": case "cancelling": return part(rows.copied + rows.pulled, rows.total || (slots.copied ? 1 : 0)) * (rows.total ? 1 : part(slots.copied, slots.total));
    default: return 1;
  }
}

/** @param {any} reshard @returns {string} one sentence */
export function sentenceOf(reshard) {
  const what = `${reshard.kind === "add" ? "Adding" : "Removing"} ${reshard.shard}`;
  if (reshard.error) {
    return `${what}: stopped with an error.`;
  }
  if (reshard.paused) {
    return `${what}: paused while ${reshard.state}.`;
  }
  if (reshard.state === "verified" && reshard.hold) {
    return `${what}: verified, and held until you complete or cancel it.`;
  }
  const left = reshard.eta_s === null || reshard.eta_s === undefined ? "" : `, about ${duration(reshard.eta_s)} left`;
  return `${what}: ${reshard.state}, ${percent(shareOf(reshard))}${left}.`;
}

export class Move {
  /** @param {(action: string, body?: unknown) => void} steer */
  constructor(steer) {
    for (const action of ["pause", "resume", "complete", "cancel"]) {
      byId(action).addEventListener("click", () => steer(action));
    }
    byId("throttle").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      steer("throttle", {rate: Number(byId("throttle-rate").value)});
    });
    this.bar = new Bar(byId("progress"));
    /** @type {number | null} what the field was last filled with */
    this.limit = null;
    /** @type {Map<string, HTMLElement[]>} */
    this.rows = new Map();
  }

  /** @param {any} reshard null: none @param {(name: string) => string} hue */
  show(reshard, hue) {
    byId("move").hidden = !reshard;
    if (!reshard) {
      return;
    }
    const {state, rows, slots, rate} = reshard;
    mark(byId("move"), "data-hue", hue(reshard.shard));
    write(byId("move-title"), `${reshard.kind === "add" ? "Adding" : "Removing"} ${reshard.shard}`);
    this.showSteps(state, Boolean(reshard.error));
    byId("move-error").hidden = !reshard.error;
    write(byId("move-error"), reshard.error ?? "");

    const share = shareOf(reshard);
    write(byId("progress-label"), `${state[0].toUpperCase()}${state.slice(1)}${reshard.paused ? " (paused)" : ""}: ${percent(share)}`);
    mark(byId("progress"), "aria-valuenow", String(Math.round(100 * share)));
    this.bar.show(share);
    this.showFigures([
      ["Rows copied", `${whole(rows.copied)} of ${whole(rows.total)}`],
      ["Brought by writes", whole(rows.pulled)],
      ["Verified", whole(rows.verified)],
      ["Deleted at the source", whole(rows.deleted)],
      ["Slots copied", `${whole(slots.copied)} of ${whole(slots.total)}`],
      ["Rate", `${whole(rate.now)} rows/s`],
      ["Cap", rate.limit ? `${whole(rate.limit)} rows/s` : "none"],
      ["Left", duration(reshard.eta_s)],
    ]);

    const isOver = OVER.includes(state);
    byId("pause").hidden = isOver || reshard.paused;
    byId("resume").hidden = isOver || !reshard.paused;
    byId("complete").hidden = state !== "verified";
    byId("cancel").hidden = !CAN_CANCEL.includes(state);
    byId("throttle").hidden = isOver;
    const field = byId("throttle-rate");
    if (field !== document.activeElement && rate.limit !== this.limit) {
      this.limit = rate.limit;
      field.value = String(Math.round(rate.limit ?? 0));
    }
    this.showMoves(reshard.moves);
  }

  /** @param {string} state @param {boolean} isBroken */
  showSteps(state, isBroken) {
    const steps = CANCEL_STEPS.includes(state) ? CANCEL_STEPS : STEPS;
    const now = steps.indexOf(state);
    const items = [...byId("steps").children];
    while (items.length < steps.length) {
      items.push(document.createElement("li"));
    }
    arrange(byId("steps"), items.slice(0, steps.length));
    steps.forEach((step, place) => {
      write(items[place], step);
      mark(items[place], "data-is", place < now ? "past" : place === now ? "now" : "later");
      mark(items[place], "aria-current", place === now ? "step" : null);
      mark(items[place], "data-mood", isBroken ? "unwell" : null);
    });
  }

  /** @param {[string, string][]} figures */
  showFigures(figures) {
    const place = byId("figures");
    if (place.children.length === 0) {
      for (const [name] of figures) {
        const group = document.createElement("div");
        const term = document.createElement("dt");
        term.textContent = name;
        group.append(term, document.createElement("dd"));
        place.append(group);
      }
    }
    figures.forEach(([, text], n) => write(place.children[n].lastElementChild, text));
  }

  /** @param {any[]} moves */
  showMoves(moves) {
    const lines = moves.map(({source, target, state, slots, rows}) => [source, target, state, whole(slots), whole(rows)]);
    const kept = [...byId("moves").children];
    arrange(byId("moves"), lines.map((texts, n) => {
      const line = kept[n] ?? document.createElement("tr");
      texts.forEach((text, at) => {
        const cell = line.children[at] ?? line.appendChild(document.createElement("td"));
        cell.className = at > 2 ? "number" : "";
        write(cell, text);
      });
      return line;
    }));
  }
}

/** @param {any} reshard @returns {string} what is worth saying aloud: its state, and each quarter of it */
export const spokenOf = (reshard) =>
  reshard.error ? sentenceOf(reshard) :
    `${reshard.kind === "add" ? "Adding" : "Removing"} ${reshard.shard}: ${reshard.paused ? "paused, " : ""}${reshard.state}` +
    `, ${25 * Math.floor(4 * shareOf(reshard))} %`;
