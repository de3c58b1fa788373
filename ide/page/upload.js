// Files from this machine: chosen or dropped, folders and zips too. It asks once before it replaces.

import {hrefOf, shown, within} from "./base.js";
import {openDialog} from "./dialog.js";
import {h} from "./dom.js";
import {complain, note} from "./notes.js";
import {count} from "./words.js";

const AT_ONCE = 4;

/** @typedef {{path: string, file: File}} Found */

/** @param {any} entry @param {string} path @returns {Promise<Found[]>} all files in it */
async function filesOf(entry, path = "") {
  const here = path ? `${path}/${entry.name}` : entry.name;
  if (entry.isFile) {
    return [{path: here, file: await new Promise((done, failed) => entry.file(done, failed))}];
  }
  const reader = entry.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) {
      return all;
    }
    for (const each of some) {
      all.push(...await filesOf(each, here));
    }
  }
}

/** @param {string[]} paths @returns {Promise<boolean>} whether to replace them */
const mayReplace = (paths) => new Promise((done) => {
  let answer = false;
  openDialog({title: `Replace ${count(paths.length, "file")}?`, action: "Replace", isDanger: true, act: () => { answer = true; },
    closed: () => done(answer), content: [h("p", {}, "These exist already:"),
      h("ul", {class: "mono"}, ...paths.slice(0, 12).map((path) => h("li", {}, path)), paths.length > 12 ? h("li", {}, `and ${paths.length - 12} more`) : null)]});
});

/** @param {import("./project.js").ProjectPage} page @param {string} folder @param {Found[]} found */
export async function upload(page, folder, found) {
  if (!found.length) {
    return;
  }
  /** @type {Found[]} */
  const there = [];
  /** @type {string[]} */
  const failures = [];
  let done = 0;
  const dismiss = note(`Uploading ${count(found.length, "file")}…`, {stays_ms: 3_600_000});
  const send = async (/** @type {Found} */ each, /** @type {boolean} */ replaces) => {
    const href = within(folder, hrefOf(each.path));
    try {
      await page.api.save(href, each.file, replaces ? await page.api.etag(href) : null, true);
      done++;
    } catch (error) {
      const {status, message} = /** @type {import("./api.js").Failure} */ (error);
      if (status === 412 && !replaces) {
        there.push(each);
      } else {
        failures.push(`${each.path}: ${message}`);
      }
    }
  };
  const sendAll = async (/** @type {Found[]} */ list, /** @type {boolean} */ replaces) => {
    const queue = [...list];
    await Promise.all(Array.from({length: AT_ONCE}, async () => {
      for (let each = queue.shift(); each; each = queue.shift()) {
        await send(each, replaces);
      }
    }));
  };
  await sendAll(found, false);
  if (there.length && await mayReplace(there.map(({path}) => path))) {
    await sendAll(there, true);
  }
  dismiss();
  await page.tree.reload().catch(complain);
  if (folder) {
    await page.tree.toggle(folder, true);
  }
  if (failures.length) {
    complain(failures.slice(0, 3).join(" · "));
  }
  if (done) {
    note(`${count(done, "file")} uploaded to ${shown(folder) || "the project"}.`);
  }
}

/** @param {import("./project.js").ProjectPage} page @param {any[]} entries @param {File[]} plain where there are no entries @param {string} folder */
export async function dropped(page, entries, plain, folder) {
  try {
    const found = entries.length ? (await Promise.all(entries.map((entry) => filesOf(entry)))).flat() : plain.map((file) => ({path: file.name, file}));
    await upload(page, folder, found);
  } catch (error) {
    complain(error);
  }
}

/** @param {import("./project.js").ProjectPage} page @param {string} folder @param {"files" | "folder" | "zip"} what */
export function pick(page, folder, what) {
  const input = h("input", {type: "file", hidden: true, multiple: what === "files", webkitdirectory: what === "folder", accept: what === "zip" ? ".zip" : null,
    "aria-label": "Files to upload"});
  input.addEventListener("change", async () => {
    const files = /** @type {File[]} */ ([...input.files]);
    input.remove();
    if (what !== "zip") {
      await upload(page, folder, files.map((file) => ({path: file.webkitRelativePath || file.name, file})));
    } else if (files[0]) {
      try {
        const {files: n} = await page.api.unzip(folder, files[0]);
        await page.tree.reload();
        note(`${count(n, "file")} unpacked from ${files[0].name}.`);
      } catch (error) {
        complain(error);
      }
    }
  });
  input.addEventListener("cancel", () => input.remove());
  document.body.append(input);
  input.click();
}
