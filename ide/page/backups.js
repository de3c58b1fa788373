// Backups: what is kept elsewhere, and a new project from one of them.

import {write} from "./kit/dom.js";
import {at} from "./base.js";
import {confirm} from "./dialog.js";
import {h} from "./dom.js";
import {ago, count, moment, sizeOf} from "./words.js";

/** @param {import("./project.js").ProjectPage} page @returns {HTMLElement} */
export function open(page) {
  const list = h("ul", {class: "backups", "aria-label": "Backups", role: "list"});
  const button = h("button", {type: "button", class: "primary", onclick: () => backUp()}, "Back up now");
  const text = h("p", {class: "hint", role: "status"});
  const root = h("div", {class: "packages fields"}, h("p", {class: "soft"}, "Made by themselves when something changed. Restoring makes a new project; this one stays as it is."), h("div", {}, button), text, list);
  const refresh = async () => {
    try {
      const {backups} = await page.api.tell("/backups");
      write(text, backups.length ? "" : "There is none yet.");
      list.replaceChildren(...backups.map((/** @type {{seq: number, time: string, files: number, bytes: number}} */ {seq, time, files, bytes}) =>
        h("li", {}, h("div", {class: "grow", title: moment(time)}, h("b", {}, ago(time)), h("div", {class: "soft"}, `${count(files, "file")}, ${sizeOf(bytes)}`)),
          h("button", {type: "button", class: "small", "aria-label": `Restore backup ${seq}`, onclick: () => restore(seq, time)}, "Restore"))));
    } catch (error) {
      const {code, message, problem} = /** @type {import("./api.js").Failure} */ (error);
      button.hidden = code === "no-backup-configured";
      write(text, code === "no-backup-configured" ? "No backups are made: the server's configuration names no bucket (backup.bucket)." : problem?.last ? `The last good one was made ${ago(problem.last.time)}. Now ${message}` : message);
    }
  };
  const restore = (/** @type {number} */ seq, /** @type {string} */ time) => confirm("Restore this backup?", `A new project is made as this one was at ${moment(time)}.`, "Restore", async () => {
    const project = await page.api.tell(`/backups/${seq}/restore`, "POST", {}, 180_000);
    location.assign(at(`p/${encodeURIComponent(project.id)}`));
  });
  const backUp = async () => {
    button.disabled = true;
    write(text, "Backing up…");
    try {
      const {files, uploaded} = await page.api.tell("/backups", "POST", {}, 180_000);
      await refresh();
      write(text, `${count(files, "file")} kept, ${uploaded} of them new.`);
    } catch (error) {
      write(text, /** @type {Error} */ (error).message);
    }
    button.disabled = false;
  };
  root.addEventListener("shown", refresh);
  return root;
}
