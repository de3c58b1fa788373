// A few letters, and Enter: to a file, or to a command.

import {mark} from "./kit/dom.js";
import {hrefOf, shown} from "./base.js";
import {h, keysHere} from "./dom.js";
import {complain} from "./notes.js";

/** @typedef {{title: string, note?: string, keys?: string, go: () => unknown}} Choice */

const MAX_SHOWN = 60;

/**
 * How well `text` answers `wanted`: its letters in order, better together and at the beginning of words. Null: not at all.
 * @param {string} text @param {string} wanted lower case @returns {{score: number, places: number[]} | null}
 */
export function match(text, wanted) {
  const lower = text.toLowerCase();
  const whole = lower.lastIndexOf(wanted);
  if (wanted && whole >= 0) {
    const isWord = whole === 0 || /[^a-z0-9]/.test(lower[whole - 1]);
    return {score: 1000 + (isWord ? 100 : 0) + (whole > lower.lastIndexOf("/") ? 200 : 0) - text.length, places: Array.from(wanted, (_, n) => whole + n)};
  }
  const places = [];
  let score = 0;
  let from = 0;
  for (const letter of wanted) {
    const place = lower.indexOf(letter, from);
    if (place < 0) {
      return null;
    }
    score += place === from ? 8 : 0;
    score += place === 0 || /[^a-z0-9]/.test(lower[place - 1]) ? 10 : 0;
    places.push(place);
    from = place + 1;
  }
  return {score: score - text.length / 10, places};
}

/** @param {string} text @param {number[]} places */
function lit(text, places) {
  const chosen = new Set(places);
  const root = h("span", {class: "grow name"});
  let run = "";
  const flush = (/** @type {boolean} */ isLit) => {
    if (run) {
      root.append(isLit ? h("mark", {}, run) : run);
      run = "";
    }
  };
  for (let n = 0; n < text.length; n++) {
    if (n && chosen.has(n) !== chosen.has(n - 1)) {
      flush(chosen.has(n - 1));
    }
    run += text[n];
  }
  flush(chosen.has(text.length - 1));
  return root;
}

/** @param {string} label @param {string} hint @param {Choice[]} choices best first while nothing is typed @param {(typed: string) => Choice | null} [special] */
function choose(label, hint, choices, special) {
  document.querySelector(".switcher")?.remove();
  const opener = document.activeElement;
  const list = h("div", {class: "list", role: "listbox", id: "switcher-list", "aria-label": label});
  const none = h("p", {class: "hint", hidden: true}, "Nothing is called so.");
  const input = h("input", {type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "switcher-list", "aria-label": label, "aria-autocomplete": "list",
    placeholder: hint, autocomplete: "off", spellcheck: "false", autocapitalize: "off", oninput: () => { at = 0; isWanted = false; draw(); }});
  const root = h("dialog", {class: "switcher", "aria-label": label}, input, list, none);
  /** @type {Choice[]} */
  let found = [];
  let at = 0;
  let isGoing = false;
  let isWanted = false;           // Enter came before the choices
  const draw = () => {
    const wanted = input.value.trim().toLowerCase();
    const own = special?.(input.value.trim());
    const scored = own ? [] : choices.map((choice, place) => ({choice, place, hit: match(choice.title, wanted)})).filter(({hit}) => hit)
      .sort((a, b) => wanted ? /** @type {any} */ (b.hit).score - /** @type {any} */ (a.hit).score || a.place - b.place : a.place - b.place).slice(0, MAX_SHOWN);
    found = own ? [own] : scored.map(({choice}) => choice);
    at = Math.max(0, Math.min(at, found.length - 1));
    list.replaceChildren(...found.map((choice, place) => h("div", {role: "option", id: `switcher-${place}`, "aria-selected": String(place === at), onclick: () => take(place)},
      lit(choice.title, own ? [] : scored[place].hit?.places ?? []), choice.note ? h("span", {class: "soft"}, choice.note) : null,
      choice.keys ? h("kbd", {}, keysHere(choice.keys)) : null)));
    list.hidden = !found.length;
    none.hidden = found.length > 0;
    mark(input, "aria-activedescendant", found.length ? `switcher-${at}` : null);
    if (isWanted && found.length) {
      take(at);
    }
    list.children[at]?.scrollIntoView({block: "nearest"});
  };
  const take = (/** @type {number} */ place) => {
    const choice = found[place];
    if (choice) {
      isGoing = true;
      root.close();
      choice.go();
    }
  };
  root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    event.stopPropagation();
    const step = {ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10}[event.key];
    if (step && found.length) {
      event.preventDefault();
      at = Math.abs(step) === 1 ? (at + step + found.length) % found.length : Math.max(0, Math.min(found.length - 1, at + step));
      draw();
    } else if (event.key === "Enter") {
      event.preventDefault();
      isWanted = found.length === 0;
      take(at);
    }
  });
  root.addEventListener("pointerdown", (/** @type {Event} */ event) => event.target === root && root.close());
  root.addEventListener("close", () => {
    root.remove();
    if (!isGoing && opener instanceof HTMLElement) {
      opener.focus({preventScroll: true});
    }
  });
  document.body.append(root);
  root.showModal();
  draw();
  input.focus();
  return {
    /** @param {Choice[]} others */
    fill: (others) => {
      choices = others;
      draw();
    },
    close: () => root.close(),
  };
}

/** @param {import("./project.js").ProjectPage} page */
export async function quickOpen(page) {
  const {files} = page;
  const recent = files.recent.filter((href) => href !== files.active).reverse();
  const rank = new Map(recent.map((href, place) => [href, place]));
  const choicesOf = (/** @type {string[]} */ paths) => paths.map((path) => ({title: path, href: hrefOf(path)}))
    .sort((a, b) => (rank.get(a.href) ?? rank.size) - (rank.get(b.href) ?? rank.size))
    .map(({title, href}) => ({title, note: rank.has(href) ? "recent" : "", go: () => files.open(href, {isFocused: true})}));
  // What was open is there at once, the rest when the server has named it.
  const switcher = choose("Go to file", "Name of a file, or :line", choicesOf(recent.map(shown)), (typed) => {
    const line = /^:(\d+)$/.exec(typed)?.[1];
    return line && files.activeBuffer ? {title: `Line ${line}`, go: () => files.editor.goTo(Number(line))} : null;
  });
  try {
    switcher.fill(choicesOf((await page.api.tell("/names")).names));
  } catch (error) {
    switcher.close();
    complain(error);
  }
}

/** @param {import("./project.js").ProjectPage} page */
export function palette(page) {
  choose("All commands", "What do you want to do?", page.commands.filter(({isOff, title}) => !isOff?.() && title !== "All commands" && title !== "All commands…")
    .map(({title, keys, act}) => ({title, keys, go: act})));
}
