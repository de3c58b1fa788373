// The button and the command for the theme: what the system prefers, light, dark, and round again.

import {mark} from "./kit/dom.js";
import {choose, chosen, isDark, onTheme} from "./kit/theme.js";
import {announce, h, icon} from "./dom.js";

/** @type {import("./kit/theme.js").Choice[]} */
const ORDER = ["system", "light", "dark"];

export function nextTheme() {
  choose(ORDER[(ORDER.indexOf(chosen()) + 1) % ORDER.length]);
  announce(`Theme: ${chosen()}`);
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
