// One card for each shard: what it has, and how it is.

import {Bar} from "./bar.js";
import {arrange, byId, copyOf, mark, write} from "./kit/dom.js";
import {percent, whole} from "./format.js";

export class Shards {
  /**
   * @param {(name: string) => void} remove
   * @param {(name: string | null) => void} point  which one the pointer or the focus is on
   */
  constructor(remove, point) {
    this.remove = remove;
    this.point = point;
    /** @type {Map<string, {root: any, parts: Record<string, any>, bar: Bar}>} */
    this.cards = new Map();
  }

  /** @param {any} cluster @param {(name: string) => string} hue */
  show(cluster, hue) {
    const largest = Math.max(...cluster.shards.map((/** @type {any} */ {share}) => share), 0.001);
    arrange(byId("shards"), cluster.shards.map((/** @type {any} */ shard) => {
      const {root, parts, bar} = this.cardOf(shard.name);
      mark(root, "data-hue", hue(shard.name));
      mark(root, "data-up", String(shard.up));
      write(parts.name, shard.name);
      const word = shard.up ? (shard.state === "active" ? "up" : shard.state) : "down";
      write(parts.state, word);
      mark(parts.state, "data-mood", !shard.up ? "unwell" : shard.state === "active" ? "well" : "caution");
      bar.show(shard.share / largest);
      write(parts.slots, `${whole(shard.slots)}, ${percent(shard.share)}`);
      const rows = Object.entries(shard.rows ?? {});
      write(parts.rows, rows.length === 0 ? "–" : rows.map(([table, n]) => `${table} ${whole(/** @type {number} */ (n))}`).join(", "));
      const {size, in_use: inUse, waiting, max} = shard.pool;
      write(parts.pool, `${inUse} of ${size} in use, up to ${max}${waiting ? `, ${waiting} waiting` : ""}`);
      write(parts.weight, `${shard.weight}, ${shard.epoch}`);
      write(parts.address, `${shard.address ?? "–"}${shard.pid ? ` (pid ${shard.pid})` : ""}`);
      parts.remove.disabled = cluster.state === "moving" || !cluster.fence || cluster.shards.length < 2;
      return root;
    }));
  }

  /** @param {string} name */
  cardOf(name) {
    const known = this.cards.get(name);
    if (known) {
      return known;
    }
    const {root, parts} = copyOf("shard");
    parts.remove.addEventListener("click", () => this.remove(name));
    mark(parts.remove, "aria-label", `Remove ${name}`);
    for (const [event, value] of /** @type {[string, string | null][]} */ (
      [["pointerenter", name], ["pointerleave", null], ["focusin", name], ["focusout", null]])) {
      root.addEventListener(event, () => this.point(value));
    }
    const card = {root, parts, bar: new Bar(parts.bar)};
    this.cards.set(name, card);
    return card;
  }
}
