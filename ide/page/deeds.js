// What one does with files: new, rename, move, copy, delete, clipboard, menu of the tree.

import {Failure} from "./api.js";
import {folderOf, hrefOf, isWithin, lastOf, shown, within} from "./base.js";
import {confirm} from "./dialog.js";
import {openMenu} from "./menu.js";
import {complain, note} from "./notes.js";

/** @typedef {import("./tree.js").Node} Node */

export class Deeds {
  /** @param {import("./project.js").ProjectPage} page */
  constructor(page) {
    this.page = page;
    this.api = page.api;
  }

  /** @param {string} folder @param {string} name may have folders in it: a/b.txt @param {"file" | "dir"} kind */
  async create(folder, name, kind) {
    const href = within(folder, hrefOf(name.replace(/^\/+|\/+$/g, "")));
    if (kind === "dir") {
      await this.api.makeFolder(href);
      this.page.tree.hear([{op: "add", path: shown(href), href, kind}]);
      return;
    }
    try {
      await this.api.save(href, "", null, true);
    } catch (error) {
      throw /** @type {Failure} */ (error).status === 412 ? new Error(`${shown(href)} exists already.`) : error;
    }
    this.page.tree.hear([{op: "add", path: shown(href), href, kind}]);
    await this.page.files.open(href, {isFocused: true});
  }

  /** @param {Node} node @param {string} name */
  async rename(node, name) {
    await this.move(node.href, within(folderOf(node.href), hrefOf(name)));
  }

  /** @param {string} from @param {string} to @param {boolean} overwrite */
  async move(from, to, overwrite = false) {
    await this.page.files.whileMoving(from, to, () => this.api.transfer("move", from, to, overwrite));
    const {tree} = this.page;
    const kind = tree.node(from)?.kind ?? "file";
    tree.hear([{op: "remove", path: shown(from), href: from, kind}, {op: "add", path: shown(to), href: to, kind}]);
  }

  /** Into a folder; asks before it replaces. @param {string} from @param {string} folder @param {boolean} copies */
  async into(from, folder, copies) {
    let to = within(folder, lastOf(from));
    if (copies && to === from) {
      to = await this.freeCopy(from);
    }
    const act = async (/** @type {boolean} */ overwrite) => {
      if (copies) {
        await this.api.transfer("copy", from, to, overwrite);
        this.page.tree.hear([{op: "add", path: shown(to), href: to, kind: this.page.tree.node(from)?.kind ?? "file"}]);
      } else if (to !== from) {
        await this.move(from, to, overwrite);
      }
      await this.page.tree.toggle(folder, true);
      // After the dialog, if there is one, has closed and given the focus back.
      setTimeout(() => this.page.tree.focus(to));
    };
    try {
      await act(false);
    } catch (error) {
      if (/** @type {Failure} */ (error).code === "exists") {
        confirm("Replace it?", `${shown(to)} exists already.`, "Replace", () => act(true));
      } else {
        complain(error);
      }
    }
  }

  /** @param {string} href @returns {Promise<string>} a name nobody has beside it */
  async freeCopy(href) {
    const {entries} = await this.api.tree(folderOf(href));
    const taken = new Set(entries.map((entry) => entry.href));
    const name = shown(lastOf(href));
    const dot = name.lastIndexOf(".") > 0 ? name.lastIndexOf(".") : name.length;
    for (let n = 1; ; n++) {
      const to = within(folderOf(href), hrefOf(`${name.slice(0, dot)} copy${n === 1 ? "" : ` ${n}`}${name.slice(dot)}`));
      if (!taken.has(to)) {
        return to;
      }
    }
  }

  /** @param {Node} node */
  remove(node) {
    const isFolder = node.kind === "dir";
    confirm(`Delete ${node.name}?`, isFolder ? "The folder goes with all that is in it. Files that were edited here stay in the history." :
      "What was edited here stays in the history.", "Delete", async () => {
      await this.api.remove(node.href, isFolder);
      const {tree} = this.page;
      const visible = tree.visible().map((each) => each.node.href);
      const place = visible.indexOf(node.href);
      tree.hear([{op: "remove", path: shown(node.href), href: node.href, kind: node.kind}]);
      tree.current = visible.slice(place + 1).find((href) => !isWithin(href, node.href)) ?? visible[place - 1] ?? "";
      tree.drawNow();
      this.page.files.removed(node.href);
      setTimeout(() => tree.focus());
    });
  }

  paste() {
    const {tree} = this.page;
    if (tree.clip) {
      const {href, isCut} = tree.clip;
      if (isCut) {
        tree.clip = null;
      }
      this.into(href, this.page.tree.here(), !isCut);
    }
  }

  /** @param {string} href @param {boolean} isCut */
  take(href, isCut) {
    this.page.tree.clip = {href, isCut};
    this.page.tree.draw();
    note(`${shown(href)} is ${isCut ? "cut" : "copied"}: paste it in a folder.`, {stays_ms: 2500});
  }

  /** @param {Node} node @param {KeyboardEvent} event one that is meant for it */
  key(node, event) {
    const letter = event.key.toLowerCase();
    if (event.key === "F2") {
      this.page.tree.askName(node.href);
    } else if (event.key === "Delete") {
      this.remove(node);
    } else if (letter === "x" || letter === "c") {
      this.take(node.href, letter === "x");
    } else if (letter === "v") {
      this.paste();
    }
  }

  /** @param {Node} node @param {{x?: number, y?: number, anchor?: Element}} where */
  menu(node, where) {
    const {tree, files} = this.page;
    const isTop = node === tree.top;
    const isFolder = node.kind === "dir";
    const folder = isFolder ? node.href : folderOf(node.href);
    const upload = async (/** @type {"files" | "folder" | "zip"} */ what) => (await import("./upload.js")).pick(this.page, folder, what);
    openMenu([
      !isFolder && {title: "Open", keys: "Enter", act: () => files.open(node.href, {isFocused: true})},
      {title: "New file…", act: () => tree.askNew(folder, "file")},
      {title: "New folder…", act: () => tree.askNew(folder, "dir")},
      null,
      {title: "Upload files…", act: () => upload("files")},
      {title: "Upload folder…", act: () => upload("folder")},
      {title: "Unpack a zip here…", act: () => upload("zip")},
      isFolder ? {title: "Download as zip", act: () => this.page.download(this.api.zipAddress(node.href))} :
        {title: "Download", act: () => this.page.download(this.api.fileAddress(node.href))},
      !isFolder && {title: "History…", act: async () => (await import("./historyview.js")).openHistory(this.page, node.href)},
      null,
      !isTop && {title: "Cut", keys: "Ctrl X", act: () => this.take(node.href, true)},
      !isTop && {title: "Copy", keys: "Ctrl C", act: () => this.take(node.href, false)},
      {title: "Paste", keys: "Ctrl V", isOff: () => !tree.clip, act: () => { tree.current = node.href; this.paste(); }},
      !isTop && {title: "Duplicate", act: () => this.into(node.href, folderOf(node.href), true)},
      !isTop && {title: "Copy path", act: () => navigator.clipboard.writeText(shown(node.href)).catch(complain)},
      !isTop && null,
      !isTop && {title: "Rename…", keys: "F2", act: () => tree.askName(node.href)},
      !isTop && {title: "Delete…", keys: "Del", isDanger: true, act: () => this.remove(node)},
    ], {...where, label: isTop ? "Project" : node.name});
  }
}
