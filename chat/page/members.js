// Who is in a channel, and whether they are here; members ask others in.

import {arrange, made, mark, write} from "../kit/dom.js";
import {api} from "./api.js";
import {chooser} from "./chooser.js";
import {fly} from "./flag.js";

export class Members {
  /** @param {import("./app.js").App} app @param {import("./chat.js").Entry} entry */
  constructor(app, entry) {
    this.app = app;
    this.entry = entry;
    this.name = "Members";
    this.root = made("div", "", "content");
    this.query = made("div", "", "query");
    this.list = made("div", "", "scroll");
    this.list.tabIndex = 0;
    this.note = made("p", "", "note");
    this.people = made("ul");
    this.list.append(this.note, this.people);
    if (entry.info.kind !== "dm") {
      this.#invitation();
    }
    this.root.append(this.query, this.list);
    /** @type {Map<number, any>} */
    this.lines = new Map();
  }

  #invitation() {
    const choose = chooser(this.app.people, "Add somebody", () => new Set(this.entry.members ?? []), true);
    const add = made("button", "Add", "small");
    const trouble = made("p", "", "trouble");
    mark(trouble, "role", "alert");
    add.type = "button";
    add.addEventListener("click", async () => {
      try {
        await Promise.all([...choose.chosen()].map((user) => api.join(this.entry.id, user)));
        choose.clear();
        write(trouble, "");
        this.entry.members = null;
        this.app.changed();
      } catch (error) {
        write(trouble, /** @type {Error} */ (error).message);
      }
    });
    choose.onChange(() => add.hidden = !choose.chosen().size);
    add.hidden = true;
    this.query.append(choose.root, add, trouble);
  }

  title() {
    return this.entry.members ? `Members (${this.entry.members.length})` : "Members";
  }

  show() {
    const {people} = this.app;
    const order = ["online", "away", "offline"];
    const members = [...this.entry.members ?? []].sort((a, b) =>
      order.indexOf(people.presenceOf(a)) - order.indexOf(people.presenceOf(b)) ||
      people.nameOf(a).localeCompare(people.nameOf(b)));
    write(this.note, this.entry.members ? "" : "Loading…");
    this.note.hidden = !this.note.textContent;
    arrange(this.people, members.map((id) => this.#line(id)));
  }

  /** @param {number} id */
  #line(id) {
    const {people} = this.app;
    let line = this.lines.get(id);
    if (!line) {
      line = made("li", "", "person");
      const talk = made("button", "Write", "small");
      talk.type = "button";
      talk.hidden = id === people.me.id || this.entry.info.kind === "dm";
      talk.addEventListener("click", () => this.app.openDirect([id]));
      line.append(made("i", "", "flag"), made("span", "", "who"), made("span", "", "soft"), talk);
      this.lines.set(id, line);
    }
    fly(line.children[0], id, people.presenceOf(id));
    write(line.children[1], `${people.nameOf(id)}${id === people.me.id ? " (you)" : ""}`);
    write(line.children[2], people.presenceOf(id));
    mark(line.children[3], "aria-label", `Write to ${people.nameOf(id)}`);
    return line;
  }
}
