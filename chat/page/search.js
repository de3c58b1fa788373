// Looking for what was said, in all one's channels or in this one.

import {made, write} from "../kit/dom.js";
import {api} from "./api.js";
import {titleOf} from "./channels.js";
import {dayAndClock} from "./dates.js";

const PAGE = 30;
const PAUSE_MS = 250;

export class Search {
  /** @param {import("./app.js").App} app @param {import("./chat.js").Entry | null} entry the open channel */
  constructor(app, entry) {
    this.app = app;
    this.entry = entry;
    this.name = "Search";
    this.root = made("div", "", "content");
    const form = made("form", "", "query");
    const label = made("label", "Search for");
    this.input = made("input");
    this.input.type = "search";
    this.input.autocomplete = "off";
    this.input.id = "search-text";
    label.htmlFor = this.input.id;
    const only = made("label", "", "choice");
    this.only = made("input");
    this.only.type = "checkbox";
    only.append(this.only, made("span", entry ? `only in ${titleOf(entry, app.people)}` : ""));
    only.hidden = !entry;
    form.append(label, this.input, only);
    this.list = made("div", "", "scroll");
    this.note = made("p", "Words of what was said.", "note");
    this.note.setAttribute("aria-live", "polite");
    this.more = made("button", "Older ones", "quiet");
    this.more.type = "button";
    this.more.addEventListener("click", () => this.find(true));
    this.list.append(this.note, this.more);
    this.root.append(form, this.list);
    /** @type {import("./api.js").Message[]} */
    this.hits = [];
    this.isMore = false;
    this.token = {};
    /** @type {number | undefined} */
    this.timer = undefined;
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.find();
    });
    form.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = window.setTimeout(() => this.find(), PAUSE_MS);
    });
    this.draw();
  }

  title() {
    return "Search";
  }

  focus() {
    this.input.focus();
  }

  close() {
    clearTimeout(this.timer);
  }

  show() {}

  async find(isOlder = false) {
    clearTimeout(this.timer);
    const q = this.input.value.trim();
    const token = this.token = {};
    if (!isOlder) {
      this.hits = [];
    }
    if (!q) {
      this.isMore = false;
      this.draw("Words of what was said.");
      return;
    }
    this.draw("Searching…");
    try {
      const hits = await api.search({q, channel: this.only.checked && this.entry ? this.entry.id : undefined,
        before: isOlder ? this.hits.at(-1)?.id : undefined, limit: PAGE});
      if (token === this.token) {
        this.hits.push(...hits);
        this.isMore = hits.length === PAGE;
        this.draw(this.hits.length ? "" : `Nothing holds “${q}”.`);
      }
    } catch (error) {
      if (token === this.token) {
        this.draw(/** @type {Error} */ (error).message);
      }
    }
  }

  /** @param {string} note */
  draw(note = "") {
    const words = this.input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    this.list.replaceChildren(...this.hits.map((hit) => this.#hit(hit, words)), this.note, this.more);
    write(this.note, note || this.note.textContent);
    this.note.hidden = !note && this.hits.length > 0;
    this.more.hidden = !this.isMore;
  }

  /** @param {import("./api.js").Message} message @param {string[]} words */
  #hit(message, words) {
    const {people, chat} = this.app;
    const button = made("button", "", "hit");
    button.type = "button";
    const from = made("span", "", "from");
    const entry = chat.entries.get(message.channel);
    from.append(made("b", people.nameOf(message.user)), made("span", entry ? titleOf(entry, people) : ""),
      made("time", dayAndClock(message.at)));
    const said = made("span", "", "said");
    said.append(...marked(message.text, words));
    button.append(from, said);
    button.addEventListener("click", () => this.app.goToMessage(message));
    return button;
  }
}

/** The text, the words found in it marked. @param {string} text @param {string[]} words @returns {Node[]} */
function marked(text, words) {
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pieces = escaped.length ? text.split(new RegExp(`(${escaped.join("|")})`, "gi")) : [text];
  return pieces.map((piece, i) => i % 2 ? made("mark", piece) : document.createTextNode(piece));
}
