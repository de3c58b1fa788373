// Earlier contents of a file, also of one that was deleted: look, compare, restore.

import {isDark} from "./kit/theme.js";
import {shown} from "./base.js";
import {textOf} from "./buffer.js";
import {openDialog} from "./dialog.js";
import {h} from "./dom.js";
import {note} from "./notes.js";
import {codemirror, merge} from "./vendor.js";
import {ago, moment, sizeOf} from "./words.js";

/** @param {import("./project.js").ProjectPage} page @param {string} href */
export async function openHistory(page, href) {
  const list = h("ul", {class: "versions", role: "listbox", "aria-label": "Versions", tabindex: "0"}, h("li", {class: "soft", role: "none"}, "Loading…"));
  const place = h("div", {class: "merge", role: "region", "aria-label": "Comparison", tabindex: "0"}, h("p", {class: "hint"}, "Left: what it was. Right: what it is now."));
  const {root} = openDialog({title: `History of ${shown(href)}`, look: "wide", content: [h("p", {class: "soft"}, "Contents before each save here. Restoring is a change like any other, so it can be undone."),
    h("div", {class: "split"}, list, place)], action: "Restore this one", act: async () => {
    if (!chosen) {
      throw new Error("Choose a version first.");
    }
    const {etag, text, bytes} = chosen;
    const buffer = page.files.tabs.get(href)?.buffer;
    if (buffer && text !== null && buffer.status !== "Conflict") {
      page.files.editor.replace(buffer, text);
      await buffer.save();
    } else {
      const now = await page.api.etag(href).catch((error) => {
        if (error.status === 404) {
          return null;
        }
        throw error;
      });
      await page.api.save(href, bytes, now, true);
      await page.files.open(href, {isFocused: true});
    }
    note(`${shown(href)} is as it was: ${etag.slice(0, 7)}.`);
  }});
  const button = root.querySelector("button.primary");
  button?.setAttribute("disabled", "");
  /** @type {{etag: string, text: string | null, bytes: any} | null} */
  let chosen = null;
  /** @type {any} */
  let view = null;
  const now = async () => {
    const buffer = page.files.tabs.get(href)?.buffer;
    if (buffer) {
      return buffer.text;
    }
    const read = await page.api.read(href).catch(() => null);
    return read ? textOf(read.bytes) ?? "" : "";
  };
  const show = async (/** @type {string} */ etag, /** @type {Element} */ item) => {
    [...list.children].forEach((each) => each.setAttribute("aria-selected", String(each === item)));
    list.setAttribute("aria-activedescendant", item.id);
    const bytes = await page.api.version(href, etag);
    chosen = {etag, bytes, text: textOf(bytes)};
    button?.removeAttribute("disabled");
    view?.destroy();
    place.replaceChildren();
    if (chosen.text === null) {
      place.append(h("p", {class: "hint"}, `This version is no text (${sizeOf(bytes.length)}).`));
      return;
    }
    const [cm, {MergeView}, current] = await Promise.all([codemirror(), merge(), now()]);
    const extensions = [cm.lineNumbers(), cm.EditorView.lineWrapping, cm.EditorState.readOnly.of(true), cm.EditorView.darkTheme.of(isDark())];
    const label = (/** @type {string} */ name) => cm.EditorView.contentAttributes.of({"aria-label": name});
    view = new MergeView({parent: place, collapseUnchanged: {margin: 3, minSize: 6}, a: {doc: chosen.text, extensions: [...extensions, label("Then")]},
      b: {doc: current, extensions: [...extensions, label("Now")]}});
  };
  try {
    const {versions} = await page.api.tell(`/history?path=${href}`);
    list.replaceChildren(...versions.map((/** @type {{etag: string, size: number, time: string}} */ {etag, size, time}, /** @type {number} */ place) => {
      const item = h("li", {role: "option", id: `version-${place}`, "aria-selected": "false", title: moment(time), onclick: () => show(etag, item)},
        h("b", {}, ago(time)), h("span", {class: "soft"}, `${moment(time)} · ${sizeOf(size)}`));
      return item;
    }));
    if (!versions.length) {
      list.replaceWith(h("p", {class: "hint"}, "There is no earlier version yet."));
    }
    list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
      if (step) {
        event.preventDefault();
        const items = [...list.children];
        const here = items.findIndex((each) => each.getAttribute("aria-selected") === "true");
        /** @type {HTMLElement} */ (items[Math.max(0, Math.min(items.length - 1, here + step))]).click();
      }
    });
    /** @type {HTMLElement | null} */ (list.querySelector("[role=option]"))?.click();
    list.focus();
  } catch (error) {
    list.replaceWith(h("p", {class: "trouble", role: "alert"}, /** @type {Error} */ (error).message));
  }
}
