// Who people are, whether they are here, and who is typing.

import {api} from "./api.js";

/** @typedef {import("./api.js").User} User */

const TYPING_MS = 6000;
const MAX_WATCHED = 200;
const FIRST_PEOPLE = 200;

export class People {
  /** @param {User} me @param {() => void} changed */
  constructor(me, changed) {
    this.me = me;
    /** Grows whenever a name or who they are changed, so that what shows names knows to draw again. */
    this.version = 0;
    this.changed = changed;
    /** @type {Map<string, number>} */
    this.byName = new Map([[me.name, me.id]]);
    /** @type {Map<number, User>} */
    this.users = new Map([[me.id, me]]);
    /** @type {Map<number, string>} */
    this.presence = new Map();
    /** Asked for, or not there. @type {Set<number>} */
    this.asked = new Set();
    /** By channel: who types, until when. @type {Map<number, Map<number, number>>} */
    this.typing = new Map();
    /** Watched at the gateway, as sent. */
    this.watched = "";
    this.isConnected = false;
  }

  /** The first page of everybody: small houses need no other. */
  async load() {
    this.learn(...await api.users({limit: FIRST_PEOPLE}));
  }

  /** @param {User[]} users */
  learn(...users) {
    for (const user of users) {
      this.users.set(user.id, user);
      this.byName.set(user.name, user.id);
      if (user.id === this.me.id) {
        this.me = user;
      }
    }
    this.version++;
    this.changed();
  }

  /** Whose a name in a text is. @param {string} name @returns {"me" | "other" | null} */
  whose(name) {
    if (name === "channel") {
      return "me";
    }
    const id = this.byName.get(name);
    return id === undefined ? null : id === this.me.id ? "me" : "other";
  }

  /** What to call them; asks the server when we never met. @param {number} id */
  nameOf(id) {
    const user = this.users.get(id);
    if (user) {
      return user.display || user.name;
    }
    this.#meet(id);
    return "…";
  }

  /** @param {number} id */
  async #meet(id) {
    if (!this.asked.has(id)) {
      this.asked.add(id);
      try {
        this.learn(await api.user(id));
      } catch (error) {
        if (/** @type {import("./api.js").Failure} */ (error).isRefusal) {
          this.learn({id, name: `user-${id}`, display: `Unknown ${id}`, admin: false, active: false});
        } else {
          setTimeout(() => this.asked.delete(id), 5000);
        }
      }
    }
  }

  /** @param {number} id @returns {string} online, away or offline */
  presenceOf(id) {
    if (id === this.me.id) {
      return this.isConnected ? "online" : "offline";       // one does not watch oneself
    }
    return this.presence.get(id) ?? "offline";
  }

  /** @param {Record<string, string>} states */
  present(states) {
    Object.entries(states).forEach(([id, state]) => this.presence.set(Number(id), state));
    this.changed();
  }

  /**
   * Whom the page shows; tells the gateway when that is news.
   * @param {Iterable<number>} ids @param {(frame: object) => boolean} send
   */
  watch(ids, send) {
    const users = [...new Set(ids)].slice(0, MAX_WATCHED).sort((a, b) => a - b);
    const text = users.join();
    if (text !== this.watched && send({type: "watch", users})) {
      this.watched = text;
    }
  }

  /** A new line watches nobody yet. */
  forgetWatched() {
    this.watched = "";
  }

  /** @param {number} channel @param {number} user */
  types(channel, user) {
    if (user === this.me.id) {
      return;
    }
    const here = this.typing.get(channel) ?? new Map();
    this.typing.set(channel, here.set(user, Date.now() + TYPING_MS));
    setTimeout(this.changed, TYPING_MS + 100);
    this.changed();
  }

  /** They said it. @param {number} channel @param {number} user */
  typed(channel, user) {
    this.typing.get(channel)?.delete(user);
  }

  /** @param {number} channel @returns {number[]} */
  typingIn(channel) {
    const now = Date.now();
    return [...this.typing.get(channel) ?? []].filter(([, until]) => until > now).map(([user]) => user);
  }

  /**
   * For completion: those whose name or display begins so; also asks the server.
   * @param {string} prefix @returns {User[]}
   */
  matching(prefix) {
    const wanted = prefix.toLowerCase();
    return [...this.users.values()].filter(({name, display, active}) =>
      active && (name.startsWith(wanted) || (display ?? "").toLowerCase().split(/\s+/).some((word) => word.startsWith(wanted))))
      .sort((a, b) => a.name.localeCompare(b.name));
  }

  /** @param {string} prefix */
  async lookUp(prefix) {
    if (prefix) {
      const users = await api.users({prefix: prefix.toLowerCase(), limit: 20}).catch(() => []);
      this.learn(...users);
    }
    return this.matching(prefix);
  }
}
