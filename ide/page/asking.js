// The questions that a project's page asks now and then.

import {hrefOf, shown} from "./base.js";
import {field, openDialog} from "./dialog.js";
import {h, keysHere} from "./dom.js";

/** @typedef {import("./project.js").ProjectPage} ProjectPage */

/** @param {ProjectPage} page */
export function rename(page) {
  const name = field("Name", page.project.name, {required: true, maxlength: 80});
  openDialog({title: "Rename project", action: "Rename", content: [name.root], act: async () => {
    page.project = await page.api.tell("", "PATCH", {name: name.input.value.trim()});
    page.draw();
  }});
  name.input.select();
}

/** What Run does. @param {ProjectPage} page */
export function askCommand(page) {
  const command = field("Command", page.project.run, {required: true, maxlength: 4000, class: "mono"});
  openDialog({title: "What Run starts", action: "Save", content: [command.root, h("p", {class: "soft"}, "A line for the shell, in the project's folder.")], act: async () => {
    page.project = await page.api.tell("", "PATCH", {run: command.input.value.trim()});
    page.draw();
  }});
}

/** A file that could not be saved is to be closed. @param {import("./buffer.js").Buffer} buffer @param {() => void} close */
export function askToLose(buffer, close) {
  openDialog({title: `${shown(buffer.href)} is not saved`, content: [h("p", {}, buffer.reason || "It could not be saved yet.")],
    action: "Close and lose it", isDanger: true, act: close});
}

/** @param {ProjectPage} page */
export function deletedHistory(page) {
  const path = field("Path", "", {required: true, class: "mono"});
  openDialog({title: "History of a deleted file", action: "Show", content: [path.root], act: () => {
    setTimeout(async () => (await import("./historyview.js")).openHistory(page, hrefOf(path.input.value.trim())));
  }});
}

const OTHERS = [["Ctrl F", "find and replace in the editor"], ["Ctrl D", "one more cursor at the next same word"], ["Ctrl /", "comment, in the editor"],
  ["Alt ↑ ↓", "move the line"], ["Ctrl Z, Ctrl Y", "undo, redo"], ["Esc, then Tab", "leave the editor by Tab"], ["F2, Del", "rename, delete, in the tree"],
  ["Ctrl X, C, V", "cut, copy, paste, in the tree"], ["Shift F10", "menu of what is chosen in the tree"], ["Ctrl click", "follow a link in the terminal"]];

/** @param {ProjectPage} page */
export function shortcuts(page) {
  const known = page.commands.filter(({keys, title}) => keys && title !== "All commands").map(({keys, title}) => [keys, title.replace("…", "")]);
  openDialog({title: "Keyboard shortcuts", look: "keys", content: [h("dl", {}, ...[...known, ...OTHERS].flatMap(([keys, title]) =>
    [h("dt", {}, h("kbd", {}, keysHere(/** @type {string} */ (keys)))), h("dd", {}, title)]))]});
}
