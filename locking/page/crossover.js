// What a study found, in one sentence.

/**
 * @typedef {{workers: number, work_ms: number, conflict_prob: number | null}} Cell
 * @typedef {{backend: string, server?: string, machine?: string, crossover: Cell[]}} Summary
 */

/** @param {number} share @returns {string} "12 %", "0.4 %" */
export const percent = (share) => `${share < 0.0995 ? (share * 100).toFixed(1) : Math.round(share * 100)}\u00a0%`;

/** @param {Summary} summary @returns {string} */
export function findingOf({backend, crossover}) {
  const crossed = crossover.map(({conflict_prob}) => conflict_prob).filter((share) => share !== null);
  if (crossover.length === 0) {
    return `Nothing was measured on ${backend}.`;
  }
  if (crossed.length === 0) {
    return `On ${backend} checking at the end was never slower than locking at the start.`;
  }
  const [least, most] = [Math.min(...crossed), Math.max(...crossed)];
  const range = percent(least) === percent(most) ? percent(least) : `${percent(least)} to ${percent(most)}`;
  const never = crossover.length - crossed.length;
  const rest = never === 0 ? "" : ` In ${never} of ${crossover.length} settings it never was.`;
  return `On ${backend} locking at the start is the faster way once ${range} of the tries conflict, depending on how many work and for how long.${rest}`;
}
