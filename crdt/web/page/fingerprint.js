// A root digest at a glance: four coloured squares and its first digits. Equal states look equal.

import {write} from "./kit/dom.js";
import {drawn} from "./kit/svg.js";

const SQUARES = 4;
const SIZE = 12;

/** @param {string} root 64 bits: decimal, or 16 hex digits @returns {string} 16 hex digits */
export function hexOf(root) {
  return /^\d+$/.test(root) && root.length !== 16 ? BigInt(root).toString(16).padStart(16, "0") : root.toLowerCase().padStart(16, "0");
}

/** @param {Element} place @param {string | undefined} root */
export function drawFingerprint(place, root) {
  if (root === undefined) {
    place.replaceChildren();
    return;
  }
  const hex = hexOf(root);
  if (place.getAttribute("title") === `root ${hex}`) {
    return;
  }
  const picture = drawn("svg", {viewBox: `0 0 ${SQUARES * SIZE} ${SIZE}`, width: SQUARES * SIZE, height: SIZE, "aria-hidden": "true"});
  for (let n = 0; n < SQUARES; n += 1) {
    const bits = Number.parseInt(hex.slice(4 * n, 4 * n + 4), 16);
    const hue = Math.floor(bits / 65536 * 360);
    picture.append(drawn("rect", {x: n * SIZE, y: 0, width: SIZE, height: SIZE, fill: `hsl(${hue} 65% ${45 + bits % 3 * 10}%)`}));
  }
  const digits = document.createElement("code");
  write(digits, hex.slice(0, 6));
  place.setAttribute("title", `root ${hex}`);
  place.replaceChildren(picture, digits);
}
