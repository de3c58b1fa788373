// The change that turns one text into another, touching no more than it must: cursor and undo live through it.

import {merge} from "./vendor.js";

/** @typedef {{from: number, to: number, insert: string}} Change */

/** @param {string} old @param {string} fresh @returns {Promise<Change[]>} */
export async function changesBetween(old, fresh) {
  const shorter = Math.min(old.length, fresh.length);
  let start = 0;
  while (start < shorter && old.charCodeAt(start) === fresh.charCodeAt(start)) {
    start++;
  }
  let end = 0;
  while (end < shorter - start && old.charCodeAt(old.length - 1 - end) === fresh.charCodeAt(fresh.length - 1 - end)) {
    end++;
  }
  const [from, to, insert] = [start, old.length - end, fresh.slice(start, fresh.length - end)];
  if (from === to && !insert) {
    return [];
  }
  // Insertions and deletions in one place need no more; only a replacement may hold lines that stay.
  if (from === to || !insert) {
    return [{from, to, insert}];
  }
  const {diff} = await merge();
  return diff(old.slice(from, to), insert, {scanLimit: 1000, timeout: 100}).map(
    (/** @type {{fromA: number, toA: number, fromB: number, toB: number}} */ {fromA, toA, fromB, toB}) =>
      ({from: from + fromA, to: from + toA, insert: insert.slice(fromB, toB)}));
}
