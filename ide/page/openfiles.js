// The open files: a tab each, one of them in the editor; kept across a reload.

import {mark, write} from "./kit/dom.js";
import {isWithin, lastOf, shown} from "./base.js";
import {Buffer, textOf} from "./buffer.js";
import {announce, h, icon} from "./dom.js";
import {Drafts} from "./drafts.js";
import {Editor} from "./editor.js";
import {complain} from "./notes.js";
import {tabKeys} from "./tabs.js";

const MAX_TEXT = 12_000_000;        // bytes; larger files are offered for download

/** @typedef {{href: string, buffer: Buffer | null, pane: HTMLElement | null, tab: HTMLElement, label: HTMLElement}} Tab  pane: of what is no text */

export class OpenFiles {
  /** @param {import("./project.js").ProjectPage} page */
  constructor(page) {
    this.page = page;
    this.drafts = new Drafts(page.id);
    this.key = `hotpath-ide/open/${page.id}`;
    /** @type {Map<string, Tab>} in their order */
    this.tabs = new Map();
    /** @type {Map<string, Promise<void>>} */
    this.opening = new Map();
    this.active = "";
    /** @type {string[]} last shown last */
    this.recent = [];
    this.list = h("div", {class: "tabs", role: "tablist", "aria-label": "Open files", onkeydown: (/** @type {KeyboardEvent} */ event) => this.keys(event)});
    this.bar = h("div", {class: "tabbar"}, this.list);
    this.place = h("div", {class: "editor", hidden: true});
    this.blank = h("div", {class: "blank"}, h("p", {class: "prompt", "aria-hidden": "true"}, "❯_"), h("p", {}, "Open a file from the tree, or:"),
      h("dl", {}, ...[["Ctrl P", "go to a file"], ["F1", "all commands"], ["Ctrl Enter", "start the program"], ["Ctrl `", "the terminal"]]
        .flatMap(([keys, what]) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, what)])));
    this.stage = h("div", {class: "stage", id: "editor-panel", role: "tabpanel", "aria-label": "Open file"}, this.place, this.blank);
    this.root = h("section", {class: "files-pane", "aria-label": "Editor"}, this.bar, this.stage);
    /** @type {import("./buffer.js").Ways} */
    this.ways = {
      api: page.api, drafts: this.drafts,
      changed: (buffer) => this.changed(buffer),
      apply: (buffer, changes) => this.editor.follow(buffer, changes),
      trouble: (buffer, error) => complain(new Error(`${buffer.path} is not saved: ${error.message}`)),
    };
    addEventListener("pagehide", () => this.keepAll());
    addEventListener("blur", () => this.saveAll());
    document.addEventListener("visibilitychange", () => {
      this.keepAll();
      this.saveAll();
    });
    addEventListener("beforeunload", (event) => {
      this.keepAll();
      if (this.buffers().some(({isDirty, isKept}) => isDirty && !isKept)) {
        event.preventDefault();
      }
    });
    for (const event of ["online", "session"]) {
      addEventListener(event, () => this.saveAll());
    }
  }

  async start() {
    this.editor = await Editor.load(this.place, {
      edited: (buffer) => buffer.edited(),
      moved: () => this.page.status.place(),
      left: () => this.activeBuffer?.save(),
    });
  }

  /** @returns {Buffer[]} */
  buffers() {
    return [...this.tabs.values()].flatMap(({buffer}) => buffer ?? []);
  }

  get activeBuffer() {
    return this.tabs.get(this.active)?.buffer ?? null;
  }

  keepAll() {
    this.buffers().forEach((buffer) => buffer.keepDraft());
    this.keep();
  }

  /** @returns {Promise<unknown>} */
  saveAll() {
    return Promise.all(this.buffers().map((buffer) => buffer.save()));
  }

  /** What is open is remembered. */
  keep() {
    this.editor?.keepPlace();
    const open = [...this.tabs.values()].map(({href, buffer}) => ({href, head: buffer?.state.selection.main.head ?? 0, scroll: buffer?.scroll ?? 0}));
    try {
      localStorage.setItem(this.key, JSON.stringify({open, active: this.active}));
    } catch {
      // Full: only the tabs are forgotten.
    }
  }

  /** What was open is open again; what is unsaved comes first. @returns {Promise<boolean>} whether something is */
  async restore() {
    /** @type {{open: {href: string, head: number, scroll: number}[], active: string}} */
    let kept = {open: [], active: ""};
    try {
      kept = {...kept, ...JSON.parse(localStorage.getItem(this.key) ?? "{}")};
    } catch {
      // Not ours: nothing was open.
    }
    const hrefs = new Set([...kept.open.map(({href}) => href), ...this.drafts.hrefs()]);
    await Promise.all([...hrefs].map((href) => this.open(href, {isShown: false, isQuiet: true}).catch(() => {})));
    // Loading finishes in any order; tabs stand as they stood.
    for (const href of hrefs) {
      const tab = this.tabs.get(href);
      if (tab) {
        this.tabs.delete(href);
        this.tabs.set(href, tab);
        this.list.append(tab.tab);
        const was = kept.open.find((each) => each.href === href);
        if (was && tab.buffer) {
          tab.buffer.scroll = was.scroll;
          const head = Math.min(was.head, tab.buffer.state.doc.length);
          this.editor.change(tab.buffer, {selection: {anchor: head}});
        }
      }
    }
    const active = this.tabs.has(kept.active) ? kept.active : this.tabs.keys().next().value;
    if (active) {
      this.show(active, false);
    }
    return this.tabs.size > 0;
  }

  /** @param {string} href @param {{isFocused?: boolean, isShown?: boolean, isQuiet?: boolean}} [how] */
  async open(href, {isFocused = false, isShown = true, isQuiet = false} = {}) {
    if (!this.tabs.has(href)) {
      let opening = this.opening.get(href);
      if (!opening) {
        opening = this.load(href).finally(() => this.opening.delete(href));
        this.opening.set(href, opening);
      }
      try {
        await opening;
      } catch (error) {
        if (isQuiet) {
          throw error;
        }
        complain(error);
        return;
      }
    }
    if (isShown) {
      this.show(href, isFocused);
      this.page.layout.reveal("editor");
    }
  }

  /** @param {string} href */
  async load(href) {
    const draft = this.drafts.of(href);
    let bytes = new Uint8Array();
    let etag = /** @type {string | null} */ (null);
    try {
      ({bytes, etag} = /** @type {any} */ (await this.page.api.read(href)));
    } catch (error) {
      if (/** @type {any} */ (error).status !== 404 || !draft) {
        throw error;
      }
    }
    const text = bytes.length > MAX_TEXT ? null : textOf(bytes);
    const label = h("span", {class: "label"});
    const shut = h("span", {class: "shut", "aria-hidden": "true", title: "Close (Alt W)", onclick: (/** @type {Event} */ event) => {
      event.stopPropagation();
      this.close(entry.href);
    }}, icon("close"));
    const tab = h("div", {role: "tab", class: "tab", "aria-controls": "editor-panel", "aria-keyshortcuts": "Delete",
      onclick: () => this.show(entry.href, true), onauxclick: (/** @type {MouseEvent} */ event) => event.button === 1 && this.close(entry.href)}, label, shut);
    const buffer = text === null ? null : new Buffer(href, this.ways, {text, etag});
    /** @type {Tab} */
    const entry = {href, buffer, tab, label, pane: null};
    if (buffer) {
      this.editor.adopt(buffer, text);
    } else {
      entry.pane = await this.noText(href, bytes);
    }
    this.tabs.set(href, entry);
    this.list.append(tab);
    this.drawTab(entry);
    if (buffer && draft) {
      this.takeUp(buffer, draft);
    }
  }

  /** Go on with what was typed before the reload. @param {Buffer} buffer @param {import("./drafts.js").Draft} draft */
  takeUp(buffer, draft) {
    if (draft.text === buffer.base) {
      this.drafts.drop(buffer.href);
      return;
    }
    const {base, etag} = buffer;
    this.editor.replace(buffer, draft.text);
    if (etag !== draft.etag && draft.base !== base) {
      buffer.base = draft.base ?? "";
      if (buffer.against({text: base, etag})) {
        buffer.saveIn(0);
      }
    }
  }

  /** Pictures are shown; the rest can be downloaded. @param {string} href @param {Uint8Array} bytes */
  async noText(href, bytes) {
    const {viewOf} = await import("./notext.js");
    const pane = viewOf(href, bytes, this.page.api.fileAddress(href));
    pane.hidden = true;
    this.stage.append(pane);
    return pane;
  }

  /** @param {string} href @param {boolean} isFocused */
  show(href, isFocused) {
    const tab = this.tabs.get(href);
    if (!tab) {
      return;
    }
    const hadTabFocus = this.list.contains(document.activeElement);
    this.active = href;
    this.recent = [...this.recent.filter((each) => each !== href), href];
    this.blank.hidden = true;
    for (const each of this.tabs.values()) {
      this.drawTab(each);
      if (each.pane) {
        each.pane.hidden = each !== tab;
      }
    }
    this.place.hidden = !tab.buffer || tab.buffer.status === "Conflict";
    if (tab.buffer) {
      this.editor.show(tab.buffer);
      if (isFocused && !hadTabFocus && !this.place.hidden) {
        this.editor.focus();
      }
    } else {
      this.editor.hide();
    }
    this.meet(tab.buffer);
    tab.tab.scrollIntoView({block: "nearest", inline: "nearest"});
    this.page.tree.reveal(href).catch(() => {});
    this.page.status.draw();
    this.page.status.place();
    this.keep();
  }

  /** The conflict's view stands in for the editor. @param {Buffer | null} buffer */
  async meet(buffer) {
    const isMet = buffer?.status === "Conflict" && buffer === this.activeBuffer;
    if (!isMet) {
      this.conflict?.remove();
      this.conflict = null;
      if (buffer && buffer === this.activeBuffer) {
        this.place.hidden = false;
      }
      return;
    }
    if (this.conflict?.buffer === buffer && this.conflict.theirs === buffer.theirs) {
      return;
    }
    const turn = this.meeting = (this.meeting ?? 0) + 1;
    const {conflictView} = await import("./conflict.js");
    const view = await conflictView(buffer, () => {
      this.meet(buffer);
      this.editor.focus();
    });
    if (turn !== this.meeting || buffer.status !== "Conflict" || buffer !== this.activeBuffer) {
      view.remove();            // another one is on its way, or none is needed any more
      return;
    }
    this.conflict?.remove();
    this.conflict = view;
    this.place.hidden = true;
    this.stage.append(view.root);
    announce(`Conflict: ${buffer.path} was changed elsewhere.`);
  }

  /** @param {Tab} tab */
  drawTab({href, buffer, tab, label}) {
    const isActive = href === this.active;
    const name = shown(lastOf(href));
    const twin = [...this.tabs.keys()].some((other) => other !== href && lastOf(other) === lastOf(href));
    write(label, twin ? shown(href) : name);
    tab.title = shown(href);
    mark(tab, "aria-selected", String(isActive));
    mark(tab, "tabindex", isActive ? "0" : "-1");
    mark(tab, "data-status", buffer?.isGone ? "gone" : buffer?.isDirty || buffer && buffer.status !== "Saved" ? buffer.status : null);
  }

  /** @param {Buffer} buffer */
  changed(buffer) {
    const tab = this.tabs.get(buffer.href);
    if (tab) {
      this.drawTab(tab);
    }
    if (buffer === this.activeBuffer) {
      this.meet(buffer);
    }
    this.page.status.draw();
  }

  /** @param {string} href */
  async close(href) {
    const tab = this.tabs.get(href);
    if (!tab) {
      return;
    }
    const {buffer} = tab;
    if (buffer?.isDirty) {
      await buffer.save();
      if (buffer.isDirty) {
        (await import("./asking.js")).askToLose(buffer, () => this.forget(href));
        return;
      }
    }
    this.forget(href);
  }

  /** @param {string} href */
  forget(href) {
    const tab = this.tabs.get(href);
    if (!tab) {
      return;
    }
    const hadFocus = this.list.contains(document.activeElement) || this.stage.contains(document.activeElement);
    this.drafts.drop(href);
    tab.buffer?.close();
    tab.pane?.remove();
    tab.tab.remove();
    this.tabs.delete(href);
    this.recent = this.recent.filter((each) => each !== href);
    if (this.active === href) {
      const next = this.recent.at(-1) ?? this.tabs.keys().next().value;
      this.active = "";
      if (next) {
        this.show(next, hadFocus);
      } else {
        this.editor.hide();
        this.meet(null);
        this.place.hidden = true;
        this.blank.hidden = false;
        this.page.tree.shown = "";
        this.page.tree.draw();
        if (hadFocus) {
          this.page.tree.focus();
        }
      }
    }
    this.tabs.forEach((each) => this.drawTab(each));
    this.page.status.draw();
    this.keep();
  }

  /** @param {KeyboardEvent} event */
  keys(event) {
    const go = (/** @type {string} */ href) => {
      this.show(href, false);
      this.tabs.get(href)?.tab.focus();
    };
    tabKeys(event, [...this.tabs.keys()], this.active, {go, shut: (href) => this.close(href), enter: () => this.editor.focus()});
  }

  /** @param {number} step */
  next(step) {
    const hrefs = [...this.tabs.keys()];
    if (hrefs.length) {
      this.show(/** @type {string} */ (hrefs.at((hrefs.indexOf(this.active) + step) % hrefs.length)), true);
    }
  }

  // --------------------------------------------------------------------------------------------- what the server tells

  /** @param {{op: string, path: string, href?: string, etag: string | null}[]} changes */
  hear(changes) {
    for (const {href = "", op, etag} of changes) {
      if (op === "remove") {
        // Of a folder, it means all that is in it.
        this.buffers().filter((buffer) => isWithin(buffer.href, href)).forEach((buffer) => buffer.disk());
      } else {
        this.tabs.get(href)?.buffer?.disk(etag);
      }
    }
  }

  /** Much may have changed: ask for each. */
  lookAtAll() {
    this.buffers().forEach((buffer) => buffer.disk());
  }

  /** @param {string} from @param {string} to @param {() => Promise<unknown>} act */
  async whileMoving(from, to, act) {
    const inside = [...this.tabs.values()].filter(({href}) => isWithin(href, from));
    await Promise.all(inside.map(({buffer}) => buffer?.save()));
    inside.forEach(({buffer}) => buffer && (buffer.isMoving = true));
    try {
      await act();
      for (const tab of inside) {
        const href = to + tab.href.slice(from.length);
        this.forget(href);                // what was replaced
        const order = [...this.tabs];
        this.tabs = new Map(order.map(([key, each]) => [each === tab ? href : key, each]));
        this.active = this.active === tab.href ? href : this.active;
        this.recent = this.recent.map((each) => each === tab.href ? href : each);
        tab.href = href;
        if (tab.buffer) {
          tab.buffer.moved(href);
          this.editor.relabel(tab.buffer);
        }
        this.drawTab(tab);
      }
      this.page.tree.shown = this.active;
      this.keep();
    } finally {
      inside.forEach(({buffer}) => {
        if (buffer) {
          buffer.isMoving = false;
          buffer.disk();
        }
      });
    }
  }

  /** Deleted here: clean tabs go. @param {string} href */
  removed(href) {
    for (const tab of [...this.tabs.values()]) {
      if (isWithin(tab.href, href) && !tab.buffer?.isDirty) {
        this.forget(tab.href);
      }
    }
  }
}
