// One replica as a column: how it is, a form to add, and a row for each key.

import {arrange, copyOf, mark, write} from "./kit/dom.js";
import {drawFingerprint} from "./fingerprint.js";
import {MOST_KEYS} from "./listing.js";
import {badge, Row} from "./row.js";
import {read} from "./values.js";
import {counted} from "./verdict.js";

const STATES = {loading: "loading…", live: "live", reconnecting: "reconnecting…", silent: "does not answer, trying again…"};

/** @typedef {import("./replica.js").Replica} Replica */
/**
 * @typedef {object} View              what all columns share
 * @property {string[]} keys           the rows, in order
 * @property {import("./compare.js").Comparison} comparison
 * @property {import("./losses.js").Losses} losses
 * @property {(name: string) => string} hue
 * @property {boolean} canCut
 */

export class Column {
  /** @param {Replica} replica @param {boolean} isSelf @param {(replica: Replica, cut: boolean) => void} isolate */
  constructor(replica, isSelf, isolate) {
    this.replica = replica;
    const {root, parts} = copyOf("column");
    this.root = root;
    this.parts = parts;
    /** @type {Map<string, Row>} */
    this.rows = new Map();
    this.isCutOff = false;
    root.dataset.name = replica.name;
    root.setAttribute("aria-label", `Replica ${replica.name}`);
    parts.address.href = replica.api.base;
    const {host, pathname} = new URL(replica.api.base);        // behind one door they differ by their paths alone
    write(parts.address, `${host}${pathname.replace(/\/$/, "")}${isSelf ? " · here" : ""}`);
    parts.isolate.addEventListener("click", () => isolate(replica, !this.isCutOff));
    parts.add.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.add();
    });
  }

  async add() {
    const {key, value} = this.parts.add.elements;
    if (await this.write("add", key.value, read(value.value)) !== null) {
      this.parts.add.reset();
      key.focus();
    }
  }

  /** @param {"add" | "put" | "remove"} op @param {string} key @param {unknown} [value] @returns {Promise<string | null>} its stamp; null: refused, and said */
  async write(op, key, value) {
    const {problem} = this.parts;
    problem.hidden = true;
    try {
      return await this.replica.api.write(op, key, value);
    } catch (error) {
      write(problem, `${this.replica.name}: ${/** @type {Error} */ (error).message}`);
      problem.hidden = false;
      return null;
    }
  }

  /** @param {View} view */
  show({keys, comparison, losses, hue, canCut}) {
    const {replica, parts} = this;
    const {name, state, digest, members, cells} = replica;
    badge(parts.name, name, hue);
    mark(this.root, "data-state", state);
    write(parts.state, replica.refusal || STATES[state]);
    write(parts.counts, digest ? `${counted(digest.live, "key")}, ${digest.tombstones} removed` : "");
    drawFingerprint(parts.fingerprint, digest?.root);
    mark(parts.fingerprint, "data-stale", replica.isDigestFresh ? null : "");

    const others = [...members.values()].filter((member) => member.name !== name);
    this.isCutOff = others.length > 0 && others.every((member) => member.state === "cut");
    write(parts.isolate, this.isCutOff ? "Heal" : "Cut off");
    parts.isolate.setAttribute("aria-label", this.isCutOff ? `Connect ${name} again` : `Cut ${name} off from all others`);
    parts.isolate.hidden = others.length === 0;
    parts.isolate.disabled = !canCut || state === "silent";

    const wanted = new Set(keys);
    for (const key of this.rows.keys()) {
      if (!wanted.has(key)) {
        this.rows.delete(key);
      }
    }
    arrange(parts.rows, keys.map((key) => {
      const row = this.rows.get(key) ?? this.newRow(key);
      const cell = cells.get(key);
      const isNewest = cell?.stamp === comparison.newest.get(key);
      const standing = !comparison.split.has(key) ? "same" : isNewest ? "newest" : "behind";
      row.show({cell, standing, losses: losses.at(name, key), hue});
      return row.root;
    }));
    this.showEmptiness(keys.length);
  }

  /** @param {number} n_rows */
  showEmptiness(n_rows) {
    const {parts, replica} = this;
    const isEmpty = n_rows === 0;
    const more = replica.horizon === null ? "" : `Only the first ${MOST_KEYS} keys are shown.`;
    const none = replica.isLoaded ? "No keys yet. Add one above."
      : replica.state !== "silent" ? "Loading the keys…"
      : `Nothing came from here yet. A replica answers pages that come from an address of its members: is ${location.origin} one?`;
    write(parts.empty, isEmpty || !replica.isLoaded ? none : more);
    parts.empty.hidden = parts.empty.textContent === "";
  }

  /** @param {string} key @returns {Row} */
  newRow(key) {
    const row = new Row(key, this.replica.name, (op, value) => {
      if (op === "remove") {
        // The row goes away; whoever works by keyboard goes on beside it.
        const next = row.root.nextElementSibling ?? row.root.previousElementSibling;
        (next?.querySelector("input") ?? this.parts.add.elements.key).focus();
      }
      return this.write(op, key, value);
    });
    this.rows.set(key, row);
    return row;
  }
}
