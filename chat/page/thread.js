// A thread beside the conversation: its root, the replies, a box of its own.

import {arrange, made, write} from "../kit/dom.js";
import {api} from "./api.js";
import {titleOf} from "./channels.js";
import {Composer} from "./composer.js";
import {itemOf, itemOfPending, Rows} from "./row.js";
import {ThreadLog} from "./threadlog.js";

/** @typedef {import("./chat.js").Entry} Entry */

const PAGE = 100;
const NEAR_PX = 80;

export class Thread {
  /** @param {import("./app.js").App} app @param {Entry} entry @param {number} rootId */
  constructor(app, entry, rootId) {
    this.app = app;
    this.entry = entry;
    this.rootId = rootId;
    this.name = "Thread";
    this.log = new ThreadLog(rootId);
    /** @type {string | null} */
    this.trouble = null;
    this.rows = new Rows();
    this.root = made("div", "", "content");
    this.scroll = made("div", "", "scroll");
    this.scroll.tabIndex = 0;
    this.first = made("div");
    this.rule = made("p", "", "rule");
    this.replies = made("div");
    this.note = made("p", "", "note");
    this.again = made("button", "Try again", "small");
    this.again.type = "button";
    this.again.addEventListener("click", () => this.load());
    this.scroll.append(this.first, this.rule, this.replies, this.note, this.again);
    this.composer = new Composer(app.people, "Reply", {
      send: (text) => app.outbox.add(entry.id, text, rootId),
      draft: (text) => app.drafts.set(entry.id, rootId, text),
      typing: () => app.typing(entry.id),
      editLast: () => app.editLast(this.items()),
      nearby: () => new Set(entry.members ?? []),
    });
    this.composer.open("Reply in this thread", "Reply…", app.drafts.get(entry.id, rootId));
    this.root.append(this.scroll, this.composer.root);
    app.watchRows(this.scroll, this.rows);
    const known = entry.log.byId.get(rootId);
    if (known) {
      this.log.byId.set(rootId, known);
    }
    this.load();
  }

  title() {
    return `Thread in ${titleOf(this.entry, this.app.people)}`;
  }

  focus() {
    this.composer.focus();
  }

  async load() {
    this.trouble = null;
    try {
      for (let after = 0, isMore = true; isMore;) {
        const asOf = this.entry.log.position ?? 0;
        const {root, messages} = await api.thread(this.rootId, after, PAGE);
        this.log.page([root, ...messages], asOf);
        this.entry.log.recent.filter(({seq}) => seq > asOf).forEach((event) => this.log.event(event));
        isMore = messages.length === PAGE;
        after = messages.at(-1)?.seq ?? 0;
      }
    } catch (error) {
      this.trouble = /** @type {Error} */ (error).message;
    }
    this.app.changed();
  }

  items() {
    const pending = [...this.entry.log.pending.values()].filter(({root}) => root === this.rootId);
    return [...this.log.replies.map(({message}) => itemOf(message)),
      ...pending.map((item) => itemOfPending(item, this.app.people.me.id))];
  }

  show() {
    const {scroll} = this;
    const isAtEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_PX;
    const root = this.log.root;
    const items = this.items();
    const all = [...root ? [itemOf(root.message)] : [], ...items];
    const elements = all.map((item, i) => this.rows.show(item, {
      people: this.app.people, before: i > 1 ? all[i - 1] : undefined, isFirstNew: false, hasDays: false, inThread: true,
      isEditing: this.app.isEditing(item, this), acts: this.app.actsFor(this.entry),
    }));
    arrange(this.first, root ? elements.slice(0, 1) : []);
    arrange(this.replies, root ? elements.slice(1) : elements);
    this.rows.prune();
    this.rule.hidden = !items.length;
    write(this.rule, items.length === 1 ? "1 reply" : `${items.length} replies`);
    write(this.note, this.trouble ?? (this.log.isLoaded ? items.length ? "" : "No reply yet." : "Loading…"));
    this.note.hidden = !this.note.textContent;
    this.again.hidden = this.trouble === null;
    this.composer.setOff(!this.entry.isMember || this.entry.info.archived, "Nobody writes here any more");
    if (isAtEnd) {
      scroll.scrollTop = scroll.scrollHeight;
    }
  }
}
