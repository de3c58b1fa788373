// One system: what it is, how it is, and the way in.

import {arrange, byId, copyOf, made, mark, write} from "./kit/dom.js";
import {Spark} from "./spark.js";
import {HINTS, healthOf, stateOf, valueOf} from "./words.js";

/** @typedef {import("./words.js").Part} Part */

const HUES = 8;                 // colours in kit/theme.css

/** @param {string} path of the front door @returns {string} relative to this page, which may itself be behind a prefix */
const relative = (path) => new URL(path.replace(/^\/+/, "./"), document.baseURI).href;

export class Card {
  /** @param {string} name @param {number} place among all */
  constructor(name, place) {
    const {root, parts} = copyOf("part");
    this.root = root;
    this.parts = parts;
    this.spark = new Spark(parts.line, parts.area);
    /** How often it had been restarted when it was last well, or first seen. @type {number | null} */
    this.restarts = null;
    root.dataset.name = name;
    root.dataset.hue = String(place % HUES);
    parts.sign.setAttribute("href", `#sign-${byId(`sign-${name}`) ? name : "other"}`);
    write(parts.hint, HINTS[name] ?? "");
  }

  /** @param {Part} part */
  show(part) {
    const {mood, text} = stateOf(part, this.restarts);
    if (part.well || this.restarts === null) {
      this.restarts = part.restarts;
    }
    mark(this.root, "data-mood", mood);
    write(this.parts.state, text);
    this.showTitle(part);
    write(this.parts.about, part.about);
    write(this.parts.engine, part.engine ?? "");
    write(this.parts.health, healthOf(part));
    this.showFigures(part);
    this.showLinks(part);
  }

  /** @param {Part} part the title, which is the way in if there is one */
  showTitle({title, path}) {
    const leads = path && path !== "/" ? relative(path) : null;
    const shown = this.parts.title.firstElementChild;
    if ((shown?.href ?? null) !== leads || this.parts.title.textContent !== title) {
      const link = made(leads ? "a" : "span", title);
      mark(link, "href", leads);
      this.parts.title.replaceChildren(link);
    }
  }

  /** @param {Part} part */
  showFigures({figures, well}) {
    const kept = [...this.parts.figures.children];
    arrange(this.parts.figures, figures.map(({label, value, unit}, n) => {
      const group = kept[n] ?? made("div");
      if (!group.firstElementChild) {
        const number = made("dd");
        number.append(made("span"), made("small"));
        group.append(made("dt"), number);
      }
      write(group.querySelector("dt"), label);
      write(group.querySelector("dd span"), valueOf(value));
      write(group.querySelector("dd small"), value === null ? "" : unit ?? "");
      return group;
    }));
    this.spark.add(well ? figures[0]?.value ?? null : null);
  }

  /** @param {Part} part */
  showLinks({links, path}) {
    const wanted = links.filter((link) => link.path !== path && link.path !== "/");
    const kept = [...this.parts.links.children];
    arrange(this.parts.links, wanted.map((link, n) => {
      const item = kept[n] ?? made("li");
      if (!item.firstElementChild) {
        item.append(made("a"));
      }
      mark(item.firstElementChild, "href", relative(link.path));
      write(item.firstElementChild, link.text);
      return item;
    }));
  }
}
