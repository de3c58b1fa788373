// What a browser remembers for a page. It may forbid that; then nothing is remembered, and that is all.

/** @param {string} key @param {"localStorage" | "sessionStorage"} store the latter: for this tab @returns {string | null} */
export function recall(key, store = "localStorage") {
  try {
    return globalThis[store].getItem(key);
  } catch {
    return null;
  }
}

/** @param {string} key @param {string | null} value null: no more @param {"localStorage" | "sessionStorage"} store */
export function keep(key, value, store = "localStorage") {
  try {
    if (value === null) {
      globalThis[store].removeItem(key);
    } else {
      globalThis[store].setItem(key, value);
    }
  } catch { /* as above */ }
}
