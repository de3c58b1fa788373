// Who differs from whom, and in how many keys?

import {isLater} from "./stamp.js";

/** @typedef {{stamp: string, live: boolean}} Held */
/** @typedef {{name: string, cells: Map<string, Held>, horizon: string | null}} Side */
/**
 * @typedef {object} Comparison
 * @property {string[][]} groups             names of replicas that hold the same
 * @property {Set<string>} split             keys that are not the same everywhere
 * @property {Map<string, string>} newest    the latest stamp of each key, wherever it is
 * @property {Map<string, number>} behind    by name: in how many split keys it lacks the newest
 */

/**
 * What a reader of the key sees. A tombstone reads as nothing, so collecting it is no difference.
 * @param {Held | undefined} cell @returns {string}
 */
const seen = (cell) => cell?.live ? cell.stamp : "";

/** @param {Side[]} sides @returns {Comparison} */
export function compare(sides) {
  // Behind a horizon we did not look, so nothing is said about it.
  const horizons = sides.map(({horizon}) => horizon).filter((horizon) => horizon !== null).sort();
  const horizon = horizons[0] ?? null;
  const keys = new Set(sides.flatMap(({cells}) => [...cells.keys()]).filter((key) => horizon === null || key <= horizon));

  /** @type {Map<string, string>} */
  const newest = new Map();
  const split = new Set();
  for (const key of keys) {
    const held = sides.map(({cells}) => cells.get(key));
    for (const cell of held) {
      if (cell && isLater(cell.stamp, newest.get(key))) {
        newest.set(key, cell.stamp);
      }
    }
    if (held.some((cell) => seen(cell) !== seen(held[0]))) {
      split.add(key);
    }
  }

  const behind = new Map(sides.map(({name, cells}) =>
    [name, [...split].filter((key) => cells.get(key)?.stamp !== newest.get(key)).length]));
  /** @type {Map<string, string[]>} */
  const groups = new Map();
  for (const {name, cells} of sides) {
    const holds = JSON.stringify([...split].map((key) => seen(cells.get(key))));
    groups.set(holds, [...groups.get(holds) ?? [], name]);
  }
  return {groups: [...groups.values()], split, newest, behind};
}
