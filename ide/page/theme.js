// Light or dark: what the system prefers, until one says otherwise here. early.js applies it before the first paint.

import {announce, h, icon, mark} from "./dom.js";

const KEY = "hotpath-ide/theme";
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const ORDER = ["system", "light", "dark"];
/** @type {Set<() => void>} */
const listeners = new Set();

/** @returns {boolean} what is shown now */
export const isDark = () => (document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";

/** @param {() => void} act called at each change */
export const onTheme = (act) => listeners.add(act);

const told = () => listeners.forEach((act) => act());
prefersDark.addEventListener("change", told);

const chosen = () => document.documentElement.dataset.theme ?? "system";

/** The next one: system, light, dark. */
export function nextTheme() {
  const wanted = ORDER[(ORDER.indexOf(chosen()) + 1) % ORDER.length];
  if (wanted === "system") {
    localStorage.removeItem(KEY);
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem(KEY, wanted);
    document.documentElement.dataset.theme = wanted;
  }
  announce(`Theme: ${wanted}`);
  told();
}

/** @returns {HTMLButtonElement} */
export function themeButton() {
  const button = h("button", {type: "button", class: "plain", "aria-label": "Theme", onclick: nextTheme});
  const draw = () => {
    button.title = `Theme: ${chosen()}`;
    mark(button, "data-theme-now", chosen());
    button.replaceChildren(icon(chosen() === "system" ? "contrast" : isDark() ? "moon" : "sun"));
  };
  onTheme(draw);
  draw();
  return button;
}
