// The tree of files: folders are listed when they are opened, and follow what the server tells.

import {mark} from "./kit/dom.js";
import {folderOf, hrefOf, isWithin, lastOf, shown, within} from "./base.js";
import {h, icon} from "./dom.js";

/**
 * @typedef {{href: string, name: string, kind: "file" | "dir" | "link" | "other", children: Map<string, Node> | null, isOpen: boolean,
 *   isTruncated: boolean}} Node  children null: not listed yet
 * @typedef {{open: (href: string, isFocused: boolean) => void, menu: (node: Node, where: {x?: number, y?: number, anchor?: Element}) => void,
 *   rename: (node: Node, name: string) => Promise<void>, create: (folder: string, name: string, kind: "file" | "dir") => Promise<void>,
 *   key: (node: Node, event: KeyboardEvent) => boolean, moved: (from: string, folder: string, copies: boolean) => void,
 *   dropped: (transfer: DataTransfer, folder: string) => void, complain: (error: unknown) => void}} Ways
 */

const DRAGGED = "application/x-hotpath-path";
const OPENS_MS = 700;           // a folder under what is dragged opens after this

/** @param {Node} a @param {Node} b */
const inOrder = (a, b) => Number(b.kind === "dir") - Number(a.kind === "dir") || a.name.localeCompare(b.name, undefined, {numeric: true}) || (a.href < b.href ? -1 : 1);

/** @param {string} href @param {string} name @param {any} kind @returns {Node} */
const nodeOf = (href, name, kind) => ({href, name, kind, children: null, isOpen: false, isTruncated: false});

export class Tree {
  /** @param {import("./api.js").ProjectApi} api @param {Ways} ways */
  constructor(api, ways) {
    this.api = api;
    this.ways = ways;
    this.top = {...nodeOf("", "", "dir"), isOpen: true};
    /** @type {Map<string, HTMLElement>} row by href */
    this.rows = new Map();
    this.current = "";          // has the focus, or would
    this.shown = "";            // open in the editor
    /** @type {{href: string, isCut: boolean} | null} */
    this.clip = null;
    /** @type {{folder: string, kind: "file" | "dir"} | {href: string} | null} an input stands in for that row */
    this.asking = null;
    this.typed = "";
    this.typedAt_ms = 0;
    this.root = h("div", {class: "tree", role: "tree", "aria-label": "Files",
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.key(event),
      oncontextmenu: (/** @type {MouseEvent} */ event) => this.context(event),
      ondragover: (/** @type {DragEvent} */ event) => this.over(event, ""), ondrop: (/** @type {DragEvent} */ event) => this.drop(event, ""),
      ondragleave: () => this.aim(null)});
    this.due = 0;
  }

  /** @param {string} href @returns {Node | null} if it is listed */
  node(href) {
    let node = this.top;
    let path = "";
    for (const part of href ? href.split("/") : []) {
      path = within(path, part);
      const child = node.children?.get(path);
      if (!child) {
        return null;
      }
      node = child;
    }
    return node;
  }

  /** The folder that a new thing goes to. @returns {string} */
  here() {
    const node = this.node(this.current);
    return !node ? "" : node.kind === "dir" ? node.href : folderOf(node.href);
  }

  /** List a folder anew; what stays keeps what was open in it. @param {Node} node */
  async list(node) {
    const {entries, truncated} = await this.api.tree(node.href);
    const old = node.children;
    node.children = new Map(entries.map(({href, name, kind}) => {
      const before = old?.get(href);
      return [href, before?.kind === kind ? before : nodeOf(href, name, kind)];
    }));
    node.isTruncated = truncated;
    this.draw();
  }

  /** All that is open, anew. */
  async reload() {
    const all = async (/** @type {Node} */ node) => {
      try {
        await this.list(node);
      } catch (error) {
        if (node === this.top) {
          throw error;
        }
        node.isOpen = false;
      }
      await Promise.all([...node.children?.values() ?? []].filter(({isOpen}) => isOpen).map(all));
    };
    await all(this.top);
  }

  /** @param {{op: string, path: string, href?: string, kind: any}[]} changes */
  hear(changes) {
    for (const {op, path, kind, ...more} of changes) {
      const href = more.href ?? hrefOf(path);
      const folder = this.node(folderOf(href));
      if (!folder?.children || op === "change") {
        continue;
      }
      if (op === "remove") {
        folder.children.delete(href);
      } else if (folder.children.get(href)?.kind !== kind) {
        folder.children.set(href, nodeOf(href, shown(lastOf(href)), kind));
      }
    }
    this.draw();
  }

  /** @param {string} href @param {boolean} [wanted] open or shut */
  async toggle(href, wanted) {
    const node = this.node(href);
    if (!node || node.kind !== "dir" || node.isOpen === wanted) {
      return;
    }
    node.isOpen = wanted ?? !node.isOpen;
    this.draw();
    if (node.isOpen && !node.children) {
      try {
        await this.list(node);
      } catch (error) {
        node.isOpen = false;
        this.draw();
        this.ways.complain(error);
      }
    }
  }

  /** Open all folders above it, and show it. @param {string} href */
  async reveal(href) {
    const parts = href.split("/").slice(0, -1);
    for (let n = 1; n <= parts.length; n++) {
      await this.toggle(parts.slice(0, n).join("/"), true);
    }
    this.shown = href;
    this.draw();
    this.rows.get(href)?.scrollIntoView({block: "nearest"});
  }

  /** @returns {{node: Node, level: number, place: number, size: number}[]} */
  visible() {
    /** @type {{node: Node, level: number, place: number, size: number}[]} */
    const all = [];
    const into = (/** @type {Node} */ folder, /** @type {number} */ level) => {
      const children = [...folder.children?.values() ?? []].sort(inOrder);
      children.forEach((node, place) => {
        all.push({node, level, place: place + 1, size: children.length});
        if (node.isOpen) {
          into(node, level + 1);
        }
      });
    };
    into(this.top, 1);
    return all;
  }

  /** Soon, and once for all that changed together. */
  draw() {
    if (!this.due) {
      this.due = setTimeout(() => {
        this.due = 0;
        this.drawNow();
      }, 0);
    }
  }

  drawNow() {
    const hadFocus = this.root.contains(document.activeElement) && !(document.activeElement instanceof HTMLInputElement);
    const visible = this.visible();
    const wanted = [];
    /** @type {Map<string, HTMLElement>} */
    const rows = new Map();
    if (!visible.some(({node}) => node.href === this.current)) {
      this.current = visible.find(({node}) => node.href === this.shown)?.node.href ?? visible[0]?.node.href ?? "";
    }
    const asks = (/** @type {string} */ folder) => this.asking && "folder" in this.asking && this.asking.folder === folder;
    if (asks("")) {
      wanted.push(this.input("", 1));
    }
    for (const {node, level, place, size} of visible) {
      const row = this.rows.get(node.href)?.dataset.kind === node.kind ? /** @type {HTMLElement} */ (this.rows.get(node.href)) : this.row(node);
      rows.set(node.href, row);
      mark(row, "aria-level", String(level));
      mark(row, "aria-posinset", String(place));
      mark(row, "aria-setsize", String(size));
      row.style.setProperty("--level", String(level));
      mark(row, "aria-expanded", node.kind === "dir" ? String(node.isOpen) : null);
      mark(row, "aria-selected", String(node.href === this.shown));
      mark(row, "tabindex", node.href === this.current ? "0" : "-1");
      row.classList.toggle("cut", this.clip?.isCut === true && this.clip.href === node.href);
      if (this.asking && "href" in this.asking && this.asking.href === node.href) {
        wanted.push(this.input(node.href, level));
      } else {
        wanted.push(row);
      }
      if (node.isOpen && asks(node.href)) {
        wanted.push(this.input(node.href, level + 1));
      }
    }
    this.rows = rows;
    const isSame = wanted.length === this.root.children.length && wanted.every((row, n) => this.root.children[n] === row);
    if (!isSame) {
      this.root.replaceChildren(...wanted);
      if (hadFocus) {
        this.rows.get(this.current)?.focus({preventScroll: true});
      }
      this.root.querySelector("input")?.focus();
    }
    // A tree needs an item to be one.
    mark(this.root, "role", wanted.length ? "tree" : "group");
    if (!wanted.length && this.top.children) {
      this.root.append(h("p", {class: "hint"}, "No files yet. Make one, or drop some here."));
    } else if (this.top.isTruncated) {
      this.root.append(h("div", {class: "hint", role: "none"}, "There are more than can be listed."));
    }
  }

  /** @param {Node} node */
  row(node) {
    const {href, kind} = node;
    const row = h("div", {
      class: "node", role: "treeitem", "data-kind": kind, "data-href": href, title: kind === "link" ? `${node.name} (a link)` : null, draggable: "true",
      onclick: () => {
        this.current = href;
        row.focus({preventScroll: true});
        if (kind === "dir") {
          this.toggle(href);
        } else {
          this.ways.open(href, false);
        }
      },
      ondblclick: () => kind !== "dir" && this.ways.open(href, true),
      ondragstart: (/** @type {DragEvent} */ event) => {
        event.dataTransfer?.setData(DRAGGED, href);
        event.dataTransfer && (event.dataTransfer.effectAllowed = "copyMove");
      },
      ondragover: (/** @type {DragEvent} */ event) => this.over(event, kind === "dir" ? href : folderOf(href)),
      ondrop: (/** @type {DragEvent} */ event) => this.drop(event, kind === "dir" ? href : folderOf(href)),
    }, kind === "dir" ? icon("chevron") : h("span", {class: "icon"}), icon(kind === "dir" ? "folder" : kind === "link" ? "link" : "file"),
    h("span", {class: "name"}, node.name));
    return row;
  }

  // ------------------------------------------------------------------------------------------------ a name is asked for

  /** A new file or folder. @param {string} folder @param {"file" | "dir"} kind */
  async askNew(folder, kind) {
    await this.toggle(folder, true);
    this.asking = {folder, kind};
    this.box = null;
    this.drawNow();
    this.root.querySelector("input")?.focus();
  }

  /** @param {string} href */
  askName(href) {
    this.asking = {href};
    this.box = null;
    this.drawNow();
    const input = this.root.querySelector("input");
    input?.focus();
    const dot = input?.value.lastIndexOf(".") ?? -1;
    input?.setSelectionRange(0, dot > 0 ? dot : input.value.length);
  }

  /** @param {string} at the folder of a new one, or what is renamed @param {number} level */
  input(at, level) {
    if (this.box) {
      return this.box;
    }
    const {asking} = this;
    const isNew = asking !== null && "folder" in asking;
    const kind = isNew ? asking.kind : this.node(at)?.kind;
    let isOver = false;
    const leave = (/** @type {string} */ focused) => {
      isOver = true;
      this.asking = null;
      this.box = null;
      this.current = focused || this.current;
      this.drawNow();
      this.rows.get(this.current)?.focus();
    };
    const input = h("input", {"aria-label": isNew ? kind === "dir" ? "Name of the new folder" : "Name of the new file" : "New name",
      spellcheck: "false", autocomplete: "off", autocapitalize: "off", maxlength: "255",
      onblur: () => isOver || (input.value.trim() && !isNew ? take() : leave("")),
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        event.stopPropagation();
        if (event.key === "Enter") {
          event.preventDefault();
          take();
        } else if (event.key === "Escape") {
          leave("");
        }
      }});
    const take = async () => {
      const name = input.value.trim();
      if (!name || isOver) {
        leave("");
        return;
      }
      isOver = true;
      try {
        if (isNew) {
          await this.ways.create(asking.folder, name, asking.kind);
          leave(within(asking.folder, hrefOf(name)));
        } else {
          const node = this.node(at);
          if (node && name !== node.name) {
            await this.ways.rename(node, name);
          }
          leave(within(folderOf(at), hrefOf(name)));
        }
      } catch (error) {
        isOver = false;
        this.ways.complain(error);
        input.focus();
      }
    };
    input.value = isNew ? "" : this.node(at)?.name ?? "";
    this.box = h("div", {class: "node", role: "treeitem", "aria-level": String(level), "aria-selected": "false"},
      h("span", {class: "icon"}), icon(kind === "dir" ? "folder" : "file"), input);
    this.box.style.setProperty("--level", String(level));
    return this.box;
  }

  // ------------------------------------------------------------------------------------------------------------ keyboard

  /** @param {string} href */
  focus(href = this.current) {
    this.current = href;
    this.drawNow();
    this.rows.get(this.current)?.focus();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const visible = this.visible();
    const here = visible.findIndex(({node}) => node.href === this.current);
    const node = visible[here]?.node;
    if (!node || event.target instanceof HTMLInputElement) {
      return;
    }
    const go = (/** @type {number} */ to) => visible.length && this.focus(visible[Math.max(0, Math.min(to, visible.length - 1))].node.href);
    const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (isPlain && event.key === "ArrowDown") {
      go(here + 1);
    } else if (isPlain && event.key === "ArrowUp") {
      go(here - 1);
    } else if (isPlain && event.key === "Home") {
      go(0);
    } else if (isPlain && event.key === "End") {
      go(visible.length - 1);
    } else if (isPlain && event.key === "ArrowRight") {
      if (node.isOpen) {
        go(here + 1);
      } else {
        this.toggle(node.href, true);
      }
    } else if (isPlain && event.key === "ArrowLeft") {
      if (node.isOpen) {
        this.toggle(node.href, false);
      } else if (folderOf(node.href)) {
        this.focus(folderOf(node.href));
      }
    } else if (isPlain && event.key === "Enter") {
      if (node.kind === "dir") {
        this.toggle(node.href);
      } else {
        this.ways.open(node.href, true);
      }
    } else if (isPlain && event.key === " ") {
      if (node.kind === "dir") {
        this.toggle(node.href);
      } else {
        this.ways.open(node.href, false);
      }
    } else if (event.key === "ContextMenu" || event.key === "F10" && event.shiftKey) {
      this.ways.menu(node, {anchor: this.rows.get(node.href)});
    } else if (this.ways.key(node, event)) {
      // done there
    } else if (isPlain && event.key.length === 1) {
      const now_ms = performance.now();
      this.typed = (now_ms - this.typedAt_ms < 700 ? this.typed : "") + event.key.toLowerCase();
      this.typedAt_ms = now_ms;
      const from = this.typed.length === 1 ? here + 1 : here;
      const found = [...visible.slice(from), ...visible.slice(0, from)].find(({node}) => node.name.toLowerCase().startsWith(this.typed));
      if (found) {
        this.focus(found.node.href);
      }
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {MouseEvent} event */
  context(event) {
    event.preventDefault();
    const href = /** @type {HTMLElement} */ (event.target).closest?.("[data-href]")?.getAttribute("data-href") ?? "";
    if (href) {
      this.focus(href);
    }
    this.ways.menu(this.node(href) ?? this.top, {x: event.clientX, y: event.clientY});
  }

  // ------------------------------------------------------------------------------------------------------------ dragging

  /** @param {string | null} folder what would take it */
  aim(folder) {
    if (this.aimed === folder) {
      return;
    }
    this.aimed = folder;
    this.root.classList.toggle("aimed", folder === "");
    this.rows.forEach((row, href) => row.classList.toggle("aimed", folder !== null && folder !== "" && href === folder));
    clearTimeout(this.opens);
    if (folder) {
      this.opens = setTimeout(() => this.toggle(folder, true), OPENS_MS);
    }
  }

  /** @param {DragEvent} event @param {string} folder */
  over(event, folder) {
    event.preventDefault();
    event.stopPropagation();
    if (event.dataTransfer) {
      event.dataTransfer.dropEffect = event.dataTransfer.types.includes("Files") || event.ctrlKey || event.altKey ? "copy" : "move";
    }
    this.aim(folder);
  }

  /** @param {DragEvent} event @param {string} folder */
  drop(event, folder) {
    event.preventDefault();
    event.stopPropagation();
    this.aim(null);
    const from = event.dataTransfer?.getData(DRAGGED);
    if (from) {
      if (folderOf(from) !== folder && !isWithin(folder, from) || event.ctrlKey || event.altKey) {
        this.ways.moved(from, folder, event.ctrlKey || event.altKey);
      }
    } else if (event.dataTransfer) {
      this.ways.dropped(event.dataTransfer, folder);
    }
  }
}
