// Search in what a terminal has shown: upwards from its end.

import {h} from "./dom.js";

/** @param {any} view the terminal's @param {HTMLElement} place */
export function openFinder(view, place) {
  const input = h("input", {type: "search", "aria-label": "Find in terminal", placeholder: "Find in terminal", spellcheck: "false",
    onkeydown: async (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        const found = await view.search(input.value, {back: !event.shiftKey});
        hint.textContent = found ? KEYS : "Not found.";
      } else if (event.key === "Escape") {
        place.hidden = true;
        view.focus();
      }
    }});
  const KEYS = "Enter: upwards · Shift Enter: downwards · Esc";
  const hint = h("span", {class: "soft", role: "status"}, KEYS);
  place.replaceChildren(input, hint);
  place.hidden = false;
  input.focus();
}
