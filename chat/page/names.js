// Completing `@na` while one writes: a list above the box, moved through by arrows, taken by Enter or Tab.

import {made, mark} from "../kit/dom.js";
import {fly} from "./flag.js";

/** @typedef {import("./api.js").User} User */

const MAX_SHOWN = 8;
const BEGUN = /(?:^|[\s(])@([a-z0-9._-]*)$/i;
const EVERYONE = /** @type {User} */ ({id: 0, name: "channel", display: "everyone here", admin: false, active: true});

let lists = 0;

export class Names {
  /**
   * @param {HTMLTextAreaElement} area @param {HTMLElement} list @param {import("./people.js").People} people
   * @param {() => Set<number>} nearby  people of this channel, who come first
   */
  constructor(area, list, people, nearby) {
    this.area = area;
    this.list = list;
    this.people = people;
    this.nearby = nearby;
    /** @type {User[]} */
    this.found = [];
    this.chosen = 0;
    this.asked = "";
    list.id = `names-${++lists}`;
    area.addEventListener("input", () => this.#look());
    area.addEventListener("blur", () => this.close());
    // Before the area loses the focus.
    list.addEventListener("pointerdown", (event) => {
      const place = [...list.children].indexOf(/** @type {Element} */ (event.target).closest("li") ?? list);
      if (place >= 0) {
        event.preventDefault();
        this.#take(place);
      }
    });
  }

  get isOpen() {
    return !this.list.hidden;
  }

  close() {
    this.list.hidden = true;
    this.area.removeAttribute("aria-activedescendant");
    this.area.removeAttribute("aria-controls");
  }

  /** @param {KeyboardEvent} event @returns {boolean} whether it was for us */
  key(event) {
    if (!this.isOpen) {
      return false;
    }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.chosen = (this.chosen + step + this.found.length) % this.found.length;
      this.#draw();
    } else if (event.key === "Enter" || event.key === "Tab") {
      this.#take(this.chosen);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      this.close();
    } else {
      return false;
    }
    event.preventDefault();
    return true;
  }

  #begun() {
    return BEGUN.exec(this.area.value.slice(0, this.area.selectionStart))?.[1] ?? null;
  }

  async #look() {
    const begun = this.#begun();
    if (begun === null) {
      this.close();
      return;
    }
    this.#offer(this.people.matching(begun), begun);
    if (this.asked !== begun) {
      this.asked = begun;
      const users = await this.people.lookUp(begun);
      if (this.#begun() === begun) {
        this.#offer(users, begun);
      }
    }
  }

  /** @param {User[]} users @param {string} begun */
  #offer(users, begun) {
    const near = this.nearby();
    const order = (/** @type {User} */ {id}) => near.has(id) ? 0 : 1;
    const others = users.filter(({id}) => id !== this.people.me.id).sort((a, b) => order(a) - order(b));
    const found = [...others, ...EVERYONE.name.startsWith(begun.toLowerCase()) ? [EVERYONE] : []];
    this.found = found.slice(0, MAX_SHOWN);
    this.chosen = Math.min(this.chosen, Math.max(0, this.found.length - 1));
    if (this.found.length && document.activeElement === this.area) {
      this.list.hidden = false;
      this.#draw();
    } else {
      this.close();
    }
  }

  #draw() {
    this.list.replaceChildren(...this.found.map(({id, name, display}, place) => {
      const option = made("li");
      option.id = `${this.list.id}-${place}`;
      mark(option, "role", "option");
      mark(option, "aria-selected", String(place === this.chosen));
      const flag = made("i", "", id ? "flag" : "");
      if (id) {
        fly(flag, id);
      }
      option.append(flag, made("b", `@${name}`), made("span", display && display !== name ? display : "", "soft"));
      return option;
    }));
    mark(this.area, "aria-controls", this.list.id);
    mark(this.area, "aria-activedescendant", `${this.list.id}-${this.chosen}`);
    this.list.children[this.chosen]?.scrollIntoView({block: "nearest"});
  }

  /** @param {number} place */
  #take(place) {
    const user = this.found[place];
    const end = this.area.selectionStart;
    const start = end - (this.#begun() ?? "").length;
    this.area.setRangeText(`${user.name} `, start, end, "end");
    this.close();
    this.area.dispatchEvent(new Event("input", {bubbles: true}));
  }
}
