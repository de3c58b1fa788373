// The token that a server may ask for: kept for this tab, asked for when an answer says that it is missing or wrong.

import {keep, recall} from "./memory.js";

// Several systems may stand behind one origin: what one was given is not shown to the others.
const KEY = `hotpath-token ${new URL(".", document.baseURI).pathname}`;
export const REFUSED = "hotpath-refused";       // an event of the window: some request was refused for want of it

/** @returns {string} empty: none */
export const token = () => recall(KEY, "sessionStorage") ?? "";

/** @param {string} text */
export const keepToken = (text) => keep(KEY, text.trim(), "sessionStorage");

/**
 * Show the form when a request was refused, and begin anew with what is typed into it.
 * @param {HTMLFormElement} form with a field named `token`
 */
export function openDoor(form) {
  window.addEventListener(REFUSED, () => {
    if (form.hidden) {
      form.hidden = false;
      form.token.focus();
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keepToken(form.token.value);
    location.reload();
  });
}
