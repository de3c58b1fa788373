// What one does to a message: react, answer, edit, delete, send again what failed.

import {made} from "../kit/dom.js";
import {Actions} from "./actions.js";
import {api} from "./api.js";
import {at} from "./base.js";
import {openDialog, toast} from "./dialog.js";
import {Thread} from "./thread.js";

/** @typedef {import("./api.js").Message} Message */
/** @typedef {import("./chat.js").Entry} Entry */
/** @typedef {import("./row.js").Acts} Acts */
/** @typedef {import("./row.js").Item} Item */

export class Deeds {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.actions = new Actions({may: (message) => this.#may(message), act: (...what) => this.#act(...what)});
    /** The message being changed, and where its editor stands. @type {{id: number, place: object} | null} */
    this.editing = null;
    /** Made once for each channel. @type {Map<number, Acts>} */
    this.acts = new Map();
  }

  /** @param {Entry} entry @returns {Acts} */
  actsFor(entry) {
    const known = this.acts.get(entry.id);
    if (known) {
      return known;
    }
    const {app} = this;
    const forget = (/** @type {string} */ id) => {
      app.outbox.remove(id);
      entry.log.drop(id);
      app.changed();
    };
    /** @type {Acts} */
    const acts = {
      react: (message, emoji, on) => app.chat.change(entry, () => api.react(message.id, emoji, on)).catch(say),
      openThread: (message) => app.openThread(entry, message.root ?? message.id),
      save: async (message, text) => {
        await app.chat.change(entry, () => api.edit(message.id, text));
        this.#stopEditing();
      },
      stopEditing: () => this.#stopEditing(),
      retry: ({client_msg_id}) => app.outbox.retry(client_msg_id),
      discard: ({client_msg_id}) => forget(client_msg_id),
      rewrite: ({client_msg_id, text, root}) => {
        forget(client_msg_id);
        const thread = app.pane.content;
        (thread instanceof Thread && thread.rootId === root ? thread : app.room).composer.restore(text);
      },
    };
    this.acts.set(entry.id, acts);
    return acts;
  }

  /** @param {Item} item @param {object} place the room or a thread */
  isEditing(item, place) {
    return this.editing !== null && item.message?.id === this.editing.id && place === this.editing.place;
  }

  #stopEditing() {
    const place = this.editing?.place;
    this.editing = null;
    if (place && "composer" in place) {
      /** @type {Thread} */ (place).composer.focus();
    }
    this.app.changed();
  }

  /** What one said last in the room or the thread. @param {Item[]} items */
  editLast(items) {
    const {room, pane, people} = this.app;
    const mine = items.findLast(({message}) => message?.user === people.me.id && !message.deleted);
    if (mine?.message) {
      this.editing = {id: mine.message.id, place: items === room.items ? room : pane.content ?? room};
      this.app.changed();
    }
  }

  /** @param {Message} message */
  #may(message) {
    const entry = this.app.chat.entry(message.channel);
    const isOpen = entry.isMember && !entry.info.archived;
    const isMine = message.user === this.app.people.me.id;
    return {react: isOpen, thread: message.root === null, unread: message.root === null && entry.isMember,
      edit: isOpen && isMine, remove: isOpen && (isMine || entry.info.member?.role === "owner")};
  }

  /** @param {string} what @param {Message} message @param {import("./row.js").RowView} row */
  #act(what, message, row) {
    const {app} = this;
    const entry = app.chat.entry(message.channel);
    const acts = this.actsFor(entry);
    if (what === "react") {
      this.actions.pick((emoji) => acts.react(message, emoji, true));
    } else if (what === "thread") {
      acts.openThread(message);
    } else if (what === "unread") {
      app.reader.markUnread(entry, message.seq).catch(say);
    } else if (what === "link") {
      const link = at(`c/${message.channel}#${message.seq}`);
      (navigator.clipboard?.writeText(link) ?? Promise.reject()).then(() => toast("Link copied."), () => toast(link));
    } else if (what === "edit") {
      this.editing = {id: message.id, place: app.room.parts.log.contains(row.root) ? app.room : app.pane.content ?? app.room};
      app.changed();
    } else if (what === "remove") {
      openDialog({title: "Delete this?", action: "Delete", isDanger: true, content: [made("p", message.text.slice(0, 300))],
        act: () => app.chat.change(entry, () => api.remove(message.id))});
    }
  }
}

/** @param {Error} error */
const say = (error) => toast(error.message);
