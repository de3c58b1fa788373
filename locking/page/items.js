// One item in the hands of two people: who opens it, and what each of them holds.

import {arrange, byId, made, write} from "./kit/dom.js";
import {ask, jsonOf, posting} from "./kit/http.js";
import {Pane} from "./pane.js";

const ASK_AGAIN_MS = 1500;

/** @type {Pane[]} */
const panes = [];

export async function beginItems() {
  panes.push(new Pane("Ann", 0), new Pane("Ben", 1));
  arrange(byId("panes"), panes.map(({root}) => root));
  byId("new-item").addEventListener("click", make);
  byId("pick").addEventListener("change", () => open(byId("pick").value));
  await list();
}

/** @param {string | number} [wanted] the item to open */
async function list(wanted) {
  try {
    const {items} = await jsonOf(await ask("items"));
    byId("pick-label").hidden = items.length === 0;
    arrange(byId("pick"), items.map((/** @type {{id: number, title: string}} */ {id, title}) => {
      const choice = made("option", `${id}: ${title}`);
      choice.value = String(id);
      return choice;
    }));
    write(byId("items-said"), "");
    const shown = wanted ?? items[items.length - 1]?.id;
    if (shown !== undefined) {
      byId("pick").value = String(shown);
      open(shown);
    }
  } catch (error) {
    const {message, status} = /** @type {import("./kit/http.js").Failure} */ (error);
    write(byId("items-said"), `No items: ${message}.${status === 401 ? "" : " Trying again…"}`);
    if (status !== 401) {
      setTimeout(list, ASK_AGAIN_MS);
    }
  }
}

/** Both get a copy. @param {string | number} id */
function open(id) {
  byId("no-items").hidden = true;
  byId("panes").hidden = false;
  for (const pane of panes) {
    pane.open(id);
  }
}

async function make() {
  try {
    const {id} = await jsonOf(await ask("items", posting({title: "Lunch on Friday", body: "Soup"})));
    await list(id);
  } catch (error) {
    write(byId("items-said"), `It was not made: ${/** @type {Error} */ (error).message}.`);
  }
}
