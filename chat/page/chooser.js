// Choosing people: a field to look them up, a list to tick them in.

import {made, mark} from "../kit/dom.js";
import {fly} from "./flag.js";

const MAX_SHOWN = 30;

let choosers = 0;

/**
 * @param {import("./people.js").People} people @param {string} label @param {() => Set<number>} without  who is not offered
 * @param {boolean} isQuiet  nobody is offered before something is typed
 */
export function chooser(people, label, without, isQuiet = false) {
  const root = made("div", "", "fields");
  const field = made("label", label);
  const input = made("input");
  const list = made("ul", "", "list");
  /** @type {Set<number>} */
  const chosen = new Set();
  let listener = () => {};
  input.type = "search";
  input.autocomplete = "off";
  input.placeholder = "Look for people";
  input.id = `people-${++choosers}`;
  field.htmlFor = input.id;
  root.append(field, input, list);

  const draw = (/** @type {import("./api.js").User[]} */ users) => {
    if (isQuiet && !input.value.trim()) {
      list.replaceChildren();
      return;
    }
    const wanted = users.filter(({id}) => id !== people.me.id && !without().has(id)).slice(0, MAX_SHOWN);
    list.replaceChildren(...wanted.map(({id, name, display}) => {
      const line = made("li");
      const choice = made("label", "", "choice person");
      const box = made("input");
      box.type = "checkbox";
      box.checked = chosen.has(id);
      box.addEventListener("change", () => {
        if (box.checked) {
          chosen.add(id);
        } else {
          chosen.delete(id);
        }
        listener();
      });
      const flag = made("i", "", "flag");
      fly(flag, id);
      const who = made("span", display || name, "who");
      choice.append(box, flag, who, made("span", display && display !== name ? `@${name}` : "", "soft"));
      line.append(choice);
      return line;
    }));
    if (!wanted.length) {
      list.append(made("li", input.value ? "Nobody is called so." : "Nobody else is here yet.", "note"));
    }
    mark(list, "aria-label", "People");
  };
  const look = async () => {
    const prefix = input.value.trim();
    draw(people.matching(prefix));
    const users = await people.lookUp(prefix);
    if (input.value.trim() === prefix) {
      draw(users);
    }
  };
  input.addEventListener("input", look);
  draw(people.matching(""));
  return {
    root,
    input,
    chosen: () => chosen,
    clear: () => {
      chosen.clear();
      input.value = "";
      draw(people.matching(""));
      listener();
    },
    onChange: (/** @type {() => void} */ fn) => {
      listener = fn;
    },
  };
}
