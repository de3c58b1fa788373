// Packages, by name: installed in a sandbox of their own, which alone has network.

import {write} from "./kit/dom.js";
import {h} from "./dom.js";

/** @param {import("./project.js").ProjectPage} page @returns {HTMLElement} */
export function open(page) {
  const input = h("input", {"aria-label": "Names of packages", placeholder: {python: "requests flask==3.0", node: "express zod@3"}[page.project.template] ?? "names",
    spellcheck: "false", autocomplete: "off", autocapitalize: "off", class: "mono"});
  const button = h("button", {class: "primary"}, "Install");
  const trouble = h("p", {class: "trouble", role: "alert"});
  const done = h("p", {class: "hint", role: "status"});
  const root = h("form", {class: "packages fields", onsubmit: async (/** @type {Event} */ event) => {
    event.preventDefault();
    const add = input.value.split(/[\s,]+/).filter(Boolean);
    write(trouble, "");
    if (!add.length) {
      input.focus();
      return;
    }
    button.disabled = true;
    try {
      page.terminals.began(await page.api.tell("/packages", "POST", {add, ...page.terminals.size}));
      write(done, `Installing ${add.join(", ")}: the terminal “Set-up” shows how it goes.`);
      input.value = "";
    } catch (error) {
      write(trouble, /** @type {Error} */ (error).message);
    }
    button.disabled = false;
    input.focus();
  }}, h("p", {class: "soft"}, "Names from the template's registry, with a version if you want one. They are kept in the project's own folder."),
  input, h("div", {}, button), trouble, done);
  root.addEventListener("shown", () => input.focus());
  return root;
}
