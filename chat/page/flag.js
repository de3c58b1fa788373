// Which signal flag a person flies: the same one everywhere, told apart from their neighbours'.

import {mark} from "../kit/dom.js";

const PATTERNS = 12;
const HUES = 6;

/** @param {Element} element @param {number} user @param {string | null} presence */
export function fly(element, user, presence = null) {
  // Neighbouring ids differ in both; 5 and 7 share no factor with 6 and 12.
  mark(element, "data-pattern", String(user * 7 % PATTERNS));
  mark(element, "data-hues", String((user * 5 + Math.floor(user / PATTERNS)) % HUES));
  mark(element, "data-presence", presence);
}
