// Ctrl+K: type a few letters of a channel or a person, Enter goes there.

import {made, mark} from "../kit/dom.js";
import {showMark, titleOf} from "./channels.js";
import {fly} from "./flag.js";

/** @typedef {{title: string, note: string, draw: (mark: Element) => void, go: () => void, rank: number}} Target */

const MAX_SHOWN = 12;

/** @param {import("./app.js").App} app */
export function openSwitcher(app) {
  if (document.querySelector(".switcher")) {
    return;
  }
  const {chat, people} = app;
  const root = made("dialog", "", "switcher");
  const input = made("input");
  const list = made("div", "", "list");
  root.setAttribute("aria-label", "Jump to");
  input.type = "search";
  input.placeholder = "A channel or a person";
  input.autocomplete = "off";
  Object.entries({"role": "combobox", "aria-expanded": "true", "aria-controls": "switcher-list", "aria-label": "Jump to",
    "aria-autocomplete": "list"}).forEach(([name, value]) => mark(input, name, value));
  list.id = "switcher-list";
  mark(list, "role", "listbox");
  mark(list, "aria-label", "Places");
  root.append(input, list);
  /** @type {Target[]} */
  let found = [];
  let chosen = 0;

  const targets = () => {
    /** @type {Target[]} */
    const all = [];
    const direct = new Set();
    for (const entry of chat.entries.values()) {
      if (entry.isMember) {
        const {unread, mentions} = entry.log.counts;
        if (entry.info.kind === "dm" && entry.members?.length === 2) {
          entry.members.forEach((id) => direct.add(id));
        }
        all.push({title: titleOf(entry, people), note: unread ? `${unread} unread` : entry.info.archived ? "archived" : "",
          draw: (place) => showMark(place, entry, people), go: () => app.go(entry.id),
          rank: (mentions ? 0 : unread ? 1 : 2) + (entry.info.archived ? 5 : 0)});
      }
    }
    for (const user of people.users.values()) {
      if (user.active && user.id !== people.me.id && !direct.has(user.id)) {
        all.push({title: user.display || user.name, note: `@${user.name}`, rank: 3, go: () => app.openDirect([user.id]),
          draw: (place) => {
            const flag = made("i", "", "flag");
            fly(flag, user.id, people.presenceOf(user.id));
            place.replaceChildren(flag);
          }});
      }
    }
    return all;
  };
  const draw = () => {
    const wanted = input.value.trim().toLowerCase().replace(/^[#@]/, "");
    const score = (/** @type {Target} */ {title, note, rank}) => {
      const name = title.toLowerCase();
      const place = `${name} ${note.toLowerCase()}`.indexOf(wanted);
      return place < 0 ? null : (name.startsWith(wanted) ? 0 : 10) + rank;
    };
    found = targets().filter((each) => score(each) !== null)
      .sort((a, b) => /** @type {number} */ (score(a)) - /** @type {number} */ (score(b)) || a.title.localeCompare(b.title))
      .slice(0, MAX_SHOWN);
    chosen = Math.max(0, Math.min(chosen, found.length - 1));
    list.replaceChildren(...found.map((target, place) => {
      const option = made("div");
      option.id = `switcher-${place}`;
      mark(option, "role", "option");
      mark(option, "aria-selected", String(place === chosen));
      const sign = made("span", "", "mark");
      target.draw(sign);
      option.append(sign, made("span", target.title), made("span", target.note, "soft"));
      option.addEventListener("click", () => take(place));
      return option;
    }));
    if (!found.length) {
      list.append(made("p", "Nothing is called so.", "note"));
    }
    mark(input, "aria-activedescendant", found.length ? `switcher-${chosen}` : null);
    list.children[chosen]?.scrollIntoView({block: "nearest"});
  };
  const take = (/** @type {number} */ place) => {
    root.close();
    found[place]?.go();
  };
  input.addEventListener("input", () => {
    chosen = 0;
    draw();
  });
  root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    event.stopPropagation();
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (step && found.length) {
      event.preventDefault();
      chosen = (chosen + step + found.length) % found.length;
      draw();
    } else if (event.key === "Enter") {
      event.preventDefault();
      take(chosen);
    }
  });
  root.addEventListener("click", (/** @type {Event} */ event) => event.target === root && root.close());
  root.addEventListener("close", () => root.remove());
  document.body.append(root);
  root.showModal();
  draw();
  input.focus();
}
