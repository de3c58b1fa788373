// Light or dark: what the system prefers, until one says otherwise here. early.js applies it before the first paint.

const KEY = "hotpath/theme";            // the same for all pages of an origin, and in early.js
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
/** @type {Set<() => void>} */
const listeners = new Set();

/** @typedef {"system" | "light" | "dark"} Choice */

/** @returns {Choice} */
export const chosen = () => /** @type {Choice} */ (document.documentElement.dataset.theme ?? "system");

/** @returns {boolean} what is shown now */
export const isDark = () => (chosen() === "system" ? prefersDark.matches : chosen() === "dark");

/** @param {() => void} act called at each change */
export const onTheme = (act) => listeners.add(act);

/** @param {Choice} wanted */
export function choose(wanted) {
  try {
    if (wanted === "system") {
      localStorage.removeItem(KEY);
    } else {
      localStorage.setItem(KEY, wanted);
    }
  } catch { /* A browser may forbid a page to remember. */ }
  apply(wanted);
}

/** @param {string | null} wanted */
function apply(wanted) {
  if (wanted === "light" || wanted === "dark") {
    document.documentElement.dataset.theme = wanted;
  } else {
    delete document.documentElement.dataset.theme;
  }
  listeners.forEach((act) => act());
}

prefersDark.addEventListener("change", () => listeners.forEach((act) => act()));
// What is chosen on one page holds on those that are open beside it, too.
window.addEventListener("storage", ({key, newValue}) => {
  if (key === KEY) {
    apply(newValue);
  }
});
