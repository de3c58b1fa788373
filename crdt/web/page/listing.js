// Everything a replica holds, as far as a page wants it: live keys in order, or removed ones too.

const PAGE = 500;
// More rows than this nobody reads, and every one costs the browser.
export const MOST_KEYS = 500;

/** @typedef {import("./values.js").Value} Value */
/** @typedef {Value & {key: string, stamp: string, live: boolean}} Cell */

/** @param {any} item @param {boolean} live @returns {Cell | null} null: the key is no text, so it cannot be edited here */
export const cellOf = (item, live) => item.key === undefined ? null : {...item, live};

/**
 * The first live cells, in the byte order of their keys.
 * @param {import("./api.js").Api} api
 * @returns {Promise<{cells: Cell[], horizon: string | null}>} horizon: the last key, when there are more behind it
 */
export async function liveCells(api) {
  /** @type {Cell[]} */
  const cells = [];
  /** @type {string | null} */
  let after = null;
  do {
    /** @type {string} */
    const place = after === null ? "" : `&after=${encodeURIComponent(after)}`;
    /** @type {{items: any[], after: string | null}} */
    const page = await api.get(`kv?limit=${PAGE}${place}`);
    cells.push(...page.items.flatMap((item) => cellOf(item, true) ?? []));
    after = page.after;             // null: that was all
  } while (after !== null && cells.length < MOST_KEYS);
  return {cells, horizon: after};
}

/**
 * Tombstones among all cells; read line by line, and no further than needed.
 * @param {import("./api.js").Api} api
 * @returns {Promise<Cell[]>}
 */
export async function removedCells(api) {
  const response = await api.ask("snapshot", {headers: {Accept: "application/x-ndjson"}});
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  /** @type {Cell[]} */
  const found = [];
  let rest = "";
  for (let piece = await reader.read(); !piece.done && found.length < MOST_KEYS; piece = await reader.read()) {
    const lines = (rest + decoder.decode(piece.value, {stream: true})).split("\n");
    rest = /** @type {string} */ (lines.pop());
    for (const line of lines.filter(Boolean)) {
      const item = JSON.parse(line);
      const cell = item.live ? null : cellOf(item, false);
      if (cell) {
        found.push(cell);
      }
    }
  }
  await reader.cancel();
  return found;
}
