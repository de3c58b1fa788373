// Numbers, shares and times as people read them.

/** @param {number | null | undefined} value @returns {string} with thin spaces between thousands; – when not known */
export function whole(value) {
  return value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en").replaceAll(",", "\u202f");
}

/** @param {number} share between 0 and 1 @returns {string} */
export const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;

/** @param {number | null | undefined} seconds @returns {string} */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) {
    return "–";
  }
  if (seconds < 60) {
    return `${Math.max(0, Math.ceil(seconds))} s`;
  }
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** @param {number} n @param {string} one @returns {string} `1 row`, `2 rows` */
export const counted = (n, one) => `${whole(n)} ${one}${n === 1 ? "" : "s"}`;

/** @param {string} text @returns {string} with a full stop behind; what is in front may be a name */
export const sentence = (text) => /[.!?…]$/.test(text) ? text : `${text}.`;
