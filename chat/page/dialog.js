// A dialog: a question with fields, one answer, and what went wrong said inside it.

import {copyOf, made, write} from "../kit/dom.js";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {(Node | string)[]} content
 * @property {Node} [after]                    stands below the buttons
 * @property {string} [action]                 on the button that answers; none: only Close
 * @property {boolean} [isDanger]
 * @property {() => Promise<void> | void} [act] throws what is to be said; otherwise the dialog closes
 */

/** @param {Question} question @returns {{close: () => void, root: HTMLDialogElement}} */
export function openDialog({title, content, after, action, isDanger = false, act}) {
  const {root, parts} = copyOf("dialog");
  const opener = document.activeElement;
  write(parts.title, title);
  root.setAttribute("aria-label", title);
  parts.content.append(...content);
  if (after) {
    parts.form.append(after);
  }
  const close = () => root.close();
  parts.buttons.hidden = !action;
  if (action) {
    const button = made("button", action, isDanger ? "danger" : "primary");
    parts.buttons.append(button);
    parts.form.addEventListener("submit", async (/** @type {Event} */ event) => {
      event.preventDefault();
      button.disabled = true;
      try {
        await act?.();
        close();
      } catch (error) {
        write(parts.trouble, /** @type {Error} */ (error).message);
      }
      button.disabled = false;
    });
  } else {
    parts.form.addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
  }
  parts.close.addEventListener("click", close);
  root.addEventListener("click", (/** @type {Event} */ event) => event.target === root && close());
  root.addEventListener("keydown", (/** @type {Event} */ event) => event.stopPropagation());
  root.addEventListener("close", () => {
    root.remove();
    if (opener instanceof HTMLElement && opener.isConnected) {
      opener.focus({preventScroll: true});
    }
  });
  document.body.append(root);
  root.showModal();
  root.querySelector("input:not([type=radio]):not([type=checkbox]), textarea")?.focus();
  return {close, root};
}

/**
 * A labelled field.
 * @param {string} label @param {string} value @param {Record<string, string | number | boolean>} properties
 * @returns {{root: HTMLLabelElement, input: HTMLInputElement}}
 */
export function field(label, value = "", properties = {}) {
  const root = made("label", label);
  const input = Object.assign(made("input"), properties);
  input.value = value;
  root.append(" ", input);
  return {root, input};
}

/** @param {string} label @param {boolean} checked @param {Record<string, string>} properties */
export function choice(label, checked, properties) {
  const root = made("label", "", "choice");
  const input = Object.assign(made("input"), properties);
  input.checked = checked;
  root.append(input, made("span", label));
  return {root, input};
}

/** A word that goes away by itself. @param {string} text */
export function toast(text) {
  const note = made("p", text, "toast");
  note.setAttribute("role", "alert");
  document.body.append(note);
  setTimeout(() => note.remove(), 4000);
}
