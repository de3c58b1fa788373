// Three-way: what two people made of one text, joined line by line.

/**
 * Line by line: what changed between two texts.
 * @param {string[]} a @param {string[]} b @param {(a: string, b: string, how: object) => {fromA: number, toA: number, fromB: number, toB: number}[]} diff
 */
function lineChanges(a, b, diff) {
  // One character stands for each different line, past what is special in UTF-16 and before the surrogates.
  /** @type {Map<string, string>} */
  const letters = new Map();
  const coded = (/** @type {string[]} */ lines) => lines.map((line) => {
    const letter = letters.get(line) ?? String.fromCharCode(Math.min(0x100 + letters.size, 0xD7FF));
    letters.set(line, letter);
    return letter;
  }).join("");
  return diff(coded(a), coded(b), {scanLimit: 2000, timeout: 300});
}

/**
 * Three-way: both sides' changes where they do not touch, and both versions between marks where they do.
 * @param {string} base @param {string} mine @param {string} theirs @param {any} diff of @codemirror/merge
 * @returns {{text: string, clashes: number}}
 */
export function joined(base, mine, theirs, diff) {
  const [o, a, b] = [base, mine, theirs].map((text) => text.split("\n"));
  const sides = [lineChanges(o, a, diff), lineChanges(o, b, diff)];
  /** @type {string[]} */
  const lines = [];
  let clashes = 0;
  let at = 0;
  const next = [0, 0];
  const shift = [0, 0];           // a line of `o` is that many further in the side
  for (;;) {
    const [left, right] = [sides[0][next[0]], sides[1][next[1]]];
    if (!left && !right) {
      break;
    }
    const from = Math.min(left?.fromA ?? Infinity, right?.fromA ?? Infinity);
    let to = from;
    const taken = [/** @type {typeof left[]} */ ([]), /** @type {typeof left[]} */ ([])];
    for (let isMore = true; isMore;) {
      isMore = false;
      for (const side of [0, 1]) {
        const change = sides[side][next[side]];
        if (change && (change.fromA < to || change.fromA === from || change.fromA === to && taken[1 - side].length > 0)) {
          taken[side].push(change);
          to = Math.max(to, change.toA);
          next[side]++;
          isMore = true;
        }
      }
    }
    lines.push(...o.slice(at, from));
    const part = [a, b].map((text, side) => {
      const begin = from + shift[side];
      shift[side] += taken[side].reduce((sum, {fromA, toA, fromB, toB}) => sum + (toB - fromB) - (toA - fromA), 0);
      return text.slice(begin, to + shift[side]);
    });
    if (!taken[0].length) {
      lines.push(...part[1]);
    } else if (!taken[1].length || part[0].length === part[1].length && part[0].every((line, n) => line === part[1][n])) {
      lines.push(...part[0]);
    } else {
      clashes++;
      lines.push("<<<<<<< mine", ...part[0], "=======", ...part[1], ">>>>>>> theirs");
    }
    at = to;
  }
  lines.push(...o.slice(at));
  return {text: lines.join("\n"), clashes};
}
