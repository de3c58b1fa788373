// The button between light and dark. Some pages have one of their own, and need not load this.

import {choose, isDark, onTheme} from "./theme.js";

/** @param {HTMLButtonElement} button that says what it changes to; one with a picture in it says so as its name */
export function themeButton(button) {
  const draw = () => {
    const words = isDark() ? "Light colours" : "Dark colours";
    if (button.firstElementChild) {
      button.setAttribute("aria-label", words);
      button.title = words;
    } else {
      button.textContent = words;
    }
  };
  button.addEventListener("click", () => choose(isDark() ? "light" : "dark"));
  onTheme(draw);
  draw();
}
