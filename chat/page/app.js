// One person's chat from login to logout: its parts, and what goes from one to another.

import {byId, copyOf, write} from "../kit/dom.js";
import {wayHome} from "../kit/house.js";
import {themeButton} from "../kit/themebutton.js";
import {api} from "./api.js";
import {Banner} from "./banner.js";
import {at, placeOf} from "./base.js";
import {Channels, inOrder} from "./channels.js";
import {Chat} from "./chat.js";
import {Connection} from "./connection.js";
import {Deeds} from "./deeds.js";
import {account, browse, channelSettings, newChannel, newDirect} from "./dialogs.js";
import {Drafts} from "./drafts.js";
import {fly} from "./flag.js";
import {oncePerFrame} from "./frames.js";
import {watchKeys} from "./keyboard.js";
import {Members} from "./members.js";
import {Outbox} from "./outbox.js";
import {Pane} from "./pane.js";
import {People} from "./people.js";
import {Reader} from "./reader.js";
import {Room} from "./room.js";
import {Search} from "./search.js";
import {openSwitcher} from "./switcher.js";
import {Thread} from "./thread.js";
import {showTitle} from "./title.js";

/** @typedef {import("./api.js").Message} Message */
/** @typedef {import("./api.js").User} User */
/** @typedef {import("./chat.js").Entry} Entry */
/** @typedef {import("./row.js").Item} Item */

const TYPING_EVERY_MS = 3000;
const AWAY_AFTER_MS = 5 * 60_000;
const LOOK_EVERY_MS = 60_000;       // at the list: a lost frame with none behind it shows there

export class App {
  /** @param {User} me @param {string} epoch @param {HTMLElement} stage @param {(note: string) => void} ended */
  constructor(me, epoch, stage, ended) {
    this.ended = ended;
    this.isClosed = false;
    this.stop = new AbortController();
    const {root, parts} = copyOf("shell");
    this.root = root;
    this.parts = parts;
    this.changed = oncePerFrame(() => this.isClosed || this.#show());
    this.people = new People(me, this.changed);
    this.chat = new Chat(me, epoch, this.people, {
      changed: this.changed,
      happened: (entry, event) => this.#happened(entry, event),
      forgot: (entry) => this.#forgot(entry),
      left: (entry) => this.#left(entry),
    });
    this.drafts = new Drafts(me.id, localStorage);
    this.reader = new Reader(this.chat);
    this.outbox = new Outbox(me.id, localStorage, {
      send: (item) => this.#send(item),
      changed: (item) => {
        this.chat.entry(item.channel).log.queue(item);
        this.changed();
      },
    });
    this.connection = new Connection({
      where: () => this.chat.where(),
      frame: (frame) => this.chat.frame(frame),
      state: (state, nextTryAt) => this.#connection(state, nextTryAt),
      sessionOver: () => this.close("You were logged out."),
    });
    this.deeds = new Deeds(this);
    this.lastTyping = 0;
    this.isAway = false;
    this.heardAt = Date.now();
    stage.replaceChildren(root);
    this.banner = new Banner(parts, () => this.connection.hurry());
    this.channels = new Channels(parts, this.people, (id) => this.drafts.get(id));
    this.pane = new Pane(parts.pane, this.changed);
    this.room = new Room(this, parts);
    this.#wire();
  }

  start() {
    this.chat.list().then(() => this.route());
    this.people.load().catch(() => {});
    this.outbox.resume();
    this.connection.start();
    this.route();
  }

  /** @param {string} note for the login page */
  close(note = "") {
    if (!this.isClosed) {
      this.isClosed = true;
      this.stop.abort();
      this.connection.stop();
      this.chat.isStopped = true;
      this.outbox.close();
      this.banner.stop();
      document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
      this.ended(note);
    }
  }

  async logOut() {
    this.outbox.clear();
    this.drafts.clear();
    await api.logOut().catch(() => {});
    history.replaceState(null, "", at(""));
    this.close();
  }

  #wire() {
    const {parts} = this;
    const {signal} = this.stop;
    const click = (/** @type {string} */ part, /** @type {() => void} */ fn) => parts[part].addEventListener("click", fn);
    click("jump", () => openSwitcher(this));
    click("new", () => newChannel(this));
    click("browse", () => browse(this));
    click("direct", () => newDirect(this));
    click("me", () => account(this));
    click("find", () => this.toggle(Search));
    click("people", () => this.toggle(Members));
    click("settings", () => this.room.entry && channelSettings(this, this.room.entry));
    parts.back.href = at("");
    wayHome(parts.up, new URL(at("")));
    parts.icon.src = at("page/icon.svg");
    themeButton(parts.theme);
    this.root.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      const link = /** @type {Element} */ (event.target).closest("a");
      const place = link && link.target !== "_blank" ? placeOf(link) : null;
      if (typeof place === "string" && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
        event.preventDefault();
        this.#navigate(place);
      }
    });
    const listen = (/** @type {EventTarget} */ target, /** @type {string} */ name, /** @type {() => void} */ fn) =>
      target.addEventListener(name, fn, {signal});
    listen(window, "popstate", () => this.route());
    listen(window, "online", () => this.#networkChanged());
    listen(window, "offline", () => this.#networkChanged());
    listen(window, "focus", () => this.#looked());
    listen(document, "visibilitychange", () => this.#looked());
    for (const sign of ["pointermove", "keydown", "pointerdown"]) {
      listen(window, sign, () => this.#stirred());
    }
    const look = setInterval(() => {
      this.#presence();
      if (this.connection.state === "live") {
        this.chat.listSoon();
      }
    }, LOOK_EVERY_MS);
    signal.addEventListener("abort", () => clearInterval(look));
    watchKeys(this, signal);
  }

  // Where one is

  /** Show what the address says. */
  route() {
    const [, channel, seq] = /^c\/(\d+)(?:#(\d+)$|#|$)/.exec(placeOf(location) ?? "") ?? [];
    const id = channel ? Number(channel) : null;
    this.deeds.editing = null;
    if (id === null) {
      this.room.open(null);
    } else {
      const entry = this.chat.entry(id);
      if (entry !== this.room.entry) {
        this.pane.close();
      }
      this.room.open(entry, seq ? Number(seq) : null);
      if (!entry.isMember && this.chat.isListed) {
        this.#preview(entry);
      } else {
        this.room.composer.focus();
      }
    }
    this.changed();
  }

  /** @param {number} id @param {number | null} seq */
  go(id, seq = null) {
    this.#navigate(`c/${id}${seq === null ? "" : `#${seq}`}`);
  }

  /** @param {string} where below the server */
  #navigate(where) {
    if (where !== placeOf(location)) {
      history.pushState(null, "", at(where));
    }
    this.route();
  }

  /** What a channel is that one is not in. @param {Entry} entry */
  async #preview(entry) {
    try {
      entry.info = await api.channel(entry.id);
    } catch (error) {
      const {status, message} = /** @type {import("./api.js").Failure} */ (error);
      if (this.room.entry === entry && !entry.isMember) {
        this.room.trouble = status === 404 ? "There is no such channel, or it is private and you are not in it." : message;
      }
    }
    this.changed();
  }

  /** @param {Message} message */
  goToMessage(message) {
    const {root, seq, channel} = message;
    this.go(channel, root === null ? seq : null);
    if (root !== null) {
      this.openThread(this.chat.entry(channel), root);
    } else if (matchMedia("(max-width: 44rem)").matches) {
      this.pane.close();
    }
  }

  /** @param {Entry} entry @param {number} root */
  openThread(entry, root) {
    this.pane.open(new Thread(this, entry, root));
  }

  /** Open it, or close it when it is open. @param {typeof Search | typeof Members} what */
  toggle(what) {
    if (this.pane.content instanceof what) {
      this.pane.close();
    } else if (what === Search) {
      this.pane.open(new Search(this, this.room.entry?.isMember ? this.room.entry : null));
    } else if (this.room.entry) {
      this.pane.open(new Members(this, this.room.entry));
    }
  }

  // Channels

  /** One of ours that an answer brought. @param {import("./api.js").Channel} channel */
  adopt(channel) {
    const entry = this.chat.entry(channel.id);
    entry.info = {...entry.info, ...channel};
    entry.isMember = true;
    this.chat.listSoon();
    this.changed();
    return entry;
  }

  /** @param {number} id */
  async join(id) {
    await api.join(id, this.people.me.id);
    this.adopt(await api.channel(id));
  }

  /** @param {number[]} users */
  async openDirect(users) {
    const channel = await api.makeChannel({kind: "dm", members: users});
    this.adopt(channel);
    this.go(channel.id);
  }

  /** @param {number} id */
  typing(id) {
    if (Date.now() - this.lastTyping > TYPING_EVERY_MS && this.connection.send({type: "typing", channel: id})) {
      this.lastTyping = Date.now();
    }
  }

  // Messages

  /** @param {import("./log.js").Pending} item */
  async #send({channel, client_msg_id, text, root}) {
    const entry = this.chat.entry(channel);
    this.lastTyping = 0;
    await this.chat.change(entry, () => api.send(channel, root === null ? {client_msg_id, text} : {client_msg_id, text, root}));
  }

  /** @param {Entry} entry */
  actsFor(entry) {
    return this.deeds.actsFor(entry);
  }

  /** @param {Item} item @param {object} place the room or a thread */
  isEditing(item, place) {
    return this.deeds.isEditing(item, place);
  }

  /** @param {Item[]} items */
  editLast(items) {
    this.deeds.editLast(items);
  }

  /** @param {HTMLElement} list @param {import("./row.js").Rows} rows */
  watchRows(list, rows) {
    this.deeds.actions.watch(list, rows);
  }

  // What comes by itself

  /** @param {Entry} entry @param {import("./log.js").LogEvent} event */
  #happened(entry, event) {
    const thread = this.pane.content;
    if (thread instanceof Thread && thread.entry === entry) {
      thread.log.event(event);
    }
    if (event.kind === "message") {
      if (event.data.user === this.people.me.id) {
        this.outbox.remove(event.data.client_msg_id);
      } else if (entry === this.room.entry && this.reader.isLooking) {
        write(byId("announcer"), `${this.people.nameOf(event.data.user)}: ${event.data.text}`);
      }
    }
  }

  /** @param {Entry} entry */
  #forgot(entry) {
    if (this.pane.content instanceof Thread && this.pane.content.entry === entry) {
      this.pane.content.load();
    }
  }

  /** @param {Entry} entry */
  #left(entry) {
    if (entry === this.room.entry) {
      this.pane.close();
      this.#preview(entry);
    }
  }

  /** @param {import("./connection.js").State} state @param {number | null} nextTryAt */
  #connection(state, nextTryAt) {
    this.banner.show(state, nextTryAt);
    this.people.isConnected = state === "live";
    if (state === "live") {
      this.people.forgetWatched();
      this.isAway = false;
      this.outbox.kick();
      this.#presence();
      const entry = this.room.entry;
      if (entry?.trouble) {
        entry.trouble = null;
      }
    }
    this.changed();
  }

  #networkChanged() {
    this.connection.check();
    this.outbox.kick();
  }

  #looked() {
    if (!document.hidden) {
      this.#stirred();
      this.connection.hurry();
      if (this.connection.state === "live") {
        this.chat.listSoon();
      }
    }
    this.changed();
  }

  #stirred() {
    this.heardAt = Date.now();
    if (this.isAway) {
      this.#presence();
    }
  }

  #presence() {
    const isAway = Date.now() - this.heardAt > AWAY_AFTER_MS;
    if (isAway !== this.isAway && this.connection.send({type: "state", state: isAway ? "away" : "active"})) {
      this.isAway = isAway;
    }
  }

  // Drawing

  #show() {
    const {chat, people, room, parts} = this;
    const entry = room.entry;
    this.root.dataset.shows = entry ? "channel" : "list";
    for (const each of chat.entries.values()) {
      if (each.isMember && each.members === null && (each.info.kind === "dm" || each === entry)) {
        chat.wantMembers(each);
      }
    }
    fly(parts["my-flag"], people.me.id, people.presenceOf(people.me.id));
    write(parts["my-name"], people.nameOf(people.me.id));
    room.show();
    this.channels.show(chat, entry?.id ?? null);
    this.pane.show();
    parts.find.setAttribute("aria-pressed", String(this.pane.content instanceof Search));
    parts.people.setAttribute("aria-pressed", String(this.pane.content instanceof Members));
    showTitle(chat.entries.values(), people, entry);
    people.watch(this.#watched(entry), (frame) => this.connection.send(frame));
  }

  /** @param {Entry | null} entry @returns {number[]} */
  #watched(entry) {
    const {directs} = inOrder(this.chat.entries.values(), this.people);
    return [...directs.flatMap(({members}) => members ?? []), ...entry?.members ?? []]
      .filter((id) => id !== this.people.me.id);
  }
}
