// Search in files: what, how, and where it stands.

import {write} from "./kit/dom.js";
import {hrefOf} from "./base.js";
import {h} from "./dom.js";
import {count} from "./words.js";

/** @typedef {{path: string, href?: string, line: number, column: number, length: number, text: string}} Match */

const AFTER_KEY_MS = 250;
const AROUND = 60;          // characters before the match that are shown

/** @param {import("./project.js").ProjectPage} page @returns {HTMLElement} */
export function open(page) {
  const input = h("input", {type: "search", "aria-label": "Search for", placeholder: "Search in files", spellcheck: "false", autocomplete: "off"});
  const flag = (/** @type {string} */ name, /** @type {string} */ text, /** @type {string} */ title) =>
    h("button", {type: "button", class: "plain flag", "aria-pressed": "false", "aria-label": title, title, "data-name": name, onclick: (/** @type {Event} */ event) => {
      const button = /** @type {HTMLElement} */ (event.currentTarget);
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      search();
    }}, text);
  const flags = [flag("case", "Aa", "Match case"), flag("word", "ab", "Whole word"), flag("regex", ".*", "Regular expression")];
  const note = h("p", {class: "hint", role: "status"});
  const list = h("div", {class: "results"});
  const root = h("div", {class: "search"}, h("form", {role: "search", onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    search();
  }}, input, h("div", {class: "flags"}, ...flags)), note, list);
  let turn = 0;
  const search = async () => {
    const text = input.value;
    const mine = ++turn;
    if (!text) {
      write(note, "");
      list.replaceChildren();
      return;
    }
    const query = new URLSearchParams(flags.map((each) => [each.dataset.name, each.getAttribute("aria-pressed") === "true" ? "1" : "0"]));
    try {
      const {matches, truncated} = await page.api.tell(`/search?q=${encodeURIComponent(text)}&${query}`);
      if (mine === turn) {
        show(matches, truncated);
      }
    } catch (error) {
      if (mine === turn) {
        list.replaceChildren();
        write(note, /** @type {Error} */ (error).message);
      }
    }
  };
  const show = (/** @type {Match[]} */ matches, /** @type {boolean} */ isTruncated) => {
    /** @type {Map<string, Match[]>} */
    const files = new Map();
    for (const match of matches) {
      const href = match.href ?? hrefOf(match.path);
      files.set(href, [...files.get(href) ?? [], match]);
    }
    write(note, matches.length ? `${count(matches.length, "match").replace("matchs", "matches")} in ${count(files.size, "file")}${isTruncated ? ", and there are more" : ""}.` : "Nothing found.");
    list.replaceChildren(...[...files].map(([href, found]) => h("section", {"aria-label": found[0].path},
      h("h3", {title: found[0].path}, h("bdi", {}, found[0].path), h("span", {class: "count"}, String(found.length))),
      h("ul", {}, ...found.map((match) => h("li", {}, line(href, match)))))));
  };
  const line = (/** @type {string} */ href, /** @type {Match} */ {line, column, length, text}) => {
    const from = Math.max(0, column - 1 - AROUND);
    const before = text.slice(from, column - 1).trimStart();
    return h("button", {type: "button", class: "match", title: `Line ${line}`, onclick: async () => {
      await page.files.open(href, {isFocused: true});
      if (page.files.active === href && page.files.activeBuffer) {
        page.files.editor.goTo(line, column, length);
      }
    }}, h("span", {class: "soft number"}, String(line)), h("span", {class: "text"}, before, h("mark", {}, text.slice(column - 1, column - 1 + length)), text.slice(column - 1 + length, column + length + 200)));
  };
  let timer = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, AFTER_KEY_MS);
  });
  list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    const all = /** @type {HTMLElement[]} */ ([...list.querySelectorAll("button.match")]);
    if (step && all.length) {
      event.preventDefault();
      const to = all.indexOf(/** @type {HTMLElement} */ (document.activeElement)) + step;
      (to < 0 ? input : all[Math.min(to, all.length - 1)]).focus();
    }
  });
  input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "ArrowDown") {
      event.preventDefault();
      list.querySelector("button")?.focus();
    }
  });
  root.addEventListener("shown", () => {
    const {state} = page.files.editor?.view ?? {};
    const selected = state && page.files.activeBuffer ? state.sliceDoc(state.selection.main.from, state.selection.main.to) : "";
    if (selected && !selected.includes("\n")) {
      input.value = selected;
      search();
    }
    input.focus();
    input.select();
  });
  return root;
}
