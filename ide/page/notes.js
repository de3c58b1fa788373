// Words that go away by themselves: what happened, what failed, and perhaps a deed.

import {h, iconButton} from "./dom.js";

const notes = h("div", {class: "notes", role: "status", "aria-label": "Notices"});

/**
 * A word that goes away by itself; with a deed, it stays longer.
 * @param {string} text @param {{action?: string, act?: () => unknown, isAlarm?: boolean, stays_ms?: number}} [more]
 */
export function note(text, {action, act, isAlarm = false, stays_ms = action ? 12_000 : isAlarm ? 10_000 : 5000} = {}) {
  if (!notes.isConnected) {
    document.body.append(notes);
  }
  const gone = () => root.remove();
  const root = h("div", {class: `note${isAlarm ? " alarm" : ""}`}, h("span", {}, text),
    action && h("button", {type: "button", class: "small", onclick: () => { gone(); act?.(); }}, action),
    iconButton("Dismiss", "close", gone));
  let timer = setTimeout(gone, stays_ms);
  root.addEventListener("pointerenter", () => clearTimeout(timer));
  root.addEventListener("focusin", () => clearTimeout(timer));
  root.addEventListener("pointerleave", () => { timer = setTimeout(gone, stays_ms); });
  [...notes.children].filter((old) => old.firstChild?.textContent === text).forEach((old) => old.remove());
  [...notes.children].slice(0, -3).forEach((old) => old.remove());
  notes.append(root);
  return gone;
}

/** Says what failed. @param {unknown} error */
export const complain = (error) => note(error instanceof Error ? error.message : String(error), {isAlarm: true});
