// A dialog: a question with fields, one answer, and what went wrong said inside it.

import {write} from "./kit/dom.js";
import {h, iconButton} from "./dom.js";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {(Node | string)[]} content
 * @property {string} [action]                  on the button that answers; none: only Close
 * @property {boolean} [isDanger]
 * @property {string} [look]                    a class
 * @property {() => Promise<unknown> | unknown} [act] throws what is to be said; otherwise the dialog closes
 * @property {() => void} [closed]
 */

/** @param {Question} question @returns {{close: () => void, root: HTMLDialogElement}} */
export function openDialog({title, content, action, isDanger = false, look = "", act, closed}) {
  const opener = document.activeElement;
  const trouble = h("p", {class: "trouble", role: "alert"});
  const button = action ? h("button", {class: isDanger ? "danger" : "primary"}, action) : null;
  const form = h("form", {class: "fields"},
    h("div", {class: "heading"}, h("h2", {}, title), iconButton("Close", "close", () => root.close())),
    h("div", {class: "fields body"}, ...content), trouble,
    button && h("div", {class: "buttons"}, h("button", {type: "button", onclick: () => root.close()}, "Cancel"), button));
  const root = h("dialog", {"aria-label": title, class: look}, form);
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!button || button.disabled) {
      return;
    }
    button.disabled = true;
    write(trouble, "");
    try {
      await act?.();
      root.close();
    } catch (error) {
      write(trouble, /** @type {Error} */ (error).message);
    }
    button.disabled = false;
  });
  let pressed = false;        // a drag that began inside and ends outside is no click beside it
  root.addEventListener("pointerdown", (/** @type {Event} */ event) => { pressed = event.target === root; });
  root.addEventListener("click", (/** @type {Event} */ event) => pressed && event.target === root && root.close());
  root.addEventListener("close", () => {
    root.remove();
    closed?.();
    if (opener instanceof HTMLElement && opener.isConnected && (document.activeElement === document.body || !document.activeElement)) {
      opener.focus({preventScroll: true});
    }
  });
  document.body.append(root);
  root.showModal();
  (root.querySelector("[autofocus]") ?? root.querySelector("input:not([type=radio]):not([type=checkbox]), textarea") ?? button)?.focus();
  return {close: () => root.close(), root};
}

/**
 * A labelled field.
 * @param {string} label @param {string} value @param {Record<string, any>} attributes
 * @returns {{root: HTMLLabelElement, input: HTMLInputElement}}
 */
export function field(label, value = "", attributes = {}) {
  const input = h("input", {autocomplete: "off", spellcheck: "false", ...attributes});
  input.value = value;
  return {root: h("label", {}, h("span", {}, label), input), input};
}

/** @param {string} title @param {string} text @param {string} action @param {() => Promise<unknown> | unknown} act */
export const confirm = (title, text, action, act) => openDialog({title, content: [h("p", {}, text)], action, isDanger: true, act});
