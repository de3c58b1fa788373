// Before the chat: who are you?

import {copyOf, write} from "../kit/dom.js";
import {wayHome} from "../kit/house.js";
import {api, Failure} from "./api.js";
import {at} from "./base.js";

/**
 * @param {HTMLElement} stage @param {string} note why one is here again
 * @returns {Promise<import("./api.js").User>} resolves once somebody is logged in
 */
export function logIn(stage, note = "") {
  const {root, parts} = copyOf("login");
  wayHome(parts.home, new URL(at("")));
  stage.replaceChildren(root);
  write(parts.trouble, note);
  parts.name.focus();
  return new Promise((resolve) => {
    const attempt = async (/** @type {boolean} */ isNew) => {
      const name = parts.name.value.trim();
      const password = parts.password.value;
      write(parts.trouble, "");
      parts.in.disabled = parts.up.disabled = true;
      try {
        if (isNew) {
          await api.signUp(name, password);
        }
        const {user} = await api.logIn(name, password);
        resolve(user);
      } catch (error) {
        write(parts.trouble, said(/** @type {Failure} */ (error), isNew));
        parts.password.focus();
        parts.password.select();
      } finally {
        parts.in.disabled = parts.up.disabled = false;
      }
    };
    parts.form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      attempt(false);
    });
    parts.up.addEventListener("click", () => parts.form.reportValidity() && attempt(true));
  });
}

/** @param {Failure} failure @param {boolean} isNew */
function said(failure, isNew) {
  if (failure.status === 401) {
    return "No account has this name and password.";
  }
  if (failure.status === 409 && isNew) {
    return "This name is taken. Log in if it is yours, or choose another.";
  }
  if (failure.status === 429) {
    return "Too many tries. Wait a moment, then try again.";
  }
  return failure.message;
}
