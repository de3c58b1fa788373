// The page: listens to the cluster, draws what it hears, and hands on what is clicked.

import {ask, send} from "./api.js";
import {arrange, byId, mark, write} from "./kit/dom.js";
import {keepToken, token} from "./kit/door.js";
import {wayHome} from "./kit/house.js";
import {themeButton} from "./kit/themebutton.js";
import {counted, sentence} from "./format.js";
import {Move, sentenceOf, spokenOf} from "./move.js";
import {Ring} from "./ring.js";
import {Shards} from "./shards.js";
import {Stream} from "./stream.js";

const HUES = 8;                     // colours in kit/theme.css
const RETRY_MS = 1000;

/** @type {any} */
let cluster = null;
/** @type {any} the one that was seen to end, until the next begins */
let lastReshard = null;
let isAskingLast = false;

const ring = new Ring();
const shards = new Shards(askToRemove, (name) => ring.point(name));
const move = new Move(steer);
const stream = new Stream("v1/cluster/events", {event: heard, broken});

/** @param {string} name @returns {string} the number of a shard's colour */
function hue(name) {
  const place = (cluster?.shards ?? []).findIndex((/** @type {any} */ shard) => shard.name === name);
  return String(Math.max(0, place) % HUES);
}

/** @param {string} name @param {any} data */
function heard(name, data) {
  if (name === "problem") {
    verdict(sentence(`The router cannot tell: ${data.detail}`), "unwell");
  } else if (name === "status") {
    // One may have come and gone between two events, or while no stream stood.
    const hasMoved = cluster !== null && (cluster.state === "moving" || cluster.version !== data.version);
    cluster = data;
    if (data.reshard) {
      lastReshard = null;
    } else if (hasMoved) {
      askForLast();
    }
    render();
  }
}

/** @param {Error & {status?: number}} failure */
function broken(failure) {
  mark(byId("main"), "aria-busy", "false");
  if (failure.status === 401) {
    showDoor(failure);
  } else if (cluster === null) {
    const said = failure.status ? `The router answers: ${failure.message}` : failure.message;
    verdict(`${sentence(said)} Trying again…`, "unwell");
  } else {
    verdict("Connection lost. Reconnecting… What you see is how it was.", "unwell");
  }
}

/** @param {Error & {status?: number}} failure */
function showDoor(failure) {
  const isFirst = byId("door").hidden;
  byId("door").hidden = false;
  byId("door-note").hidden = isFirst && byId("token").value === "";
  write(byId("door-note"), sentence(failure.message));
  verdict("The router asks who you are.", "waiting");
  for (const id of ["move", "ring-card", "shards-card", "steer", "routers-card", "more"]) {
    byId(id).hidden = true;
  }
  byId("token").focus();
}

/** @param {string} text @param {string} mood */
function verdict(text, mood) {
  write(byId("verdict"), text);
  mark(byId("verdict"), "data-mood", mood);
  if (mood !== "caution") {          // a move is told in larger steps
    write(byId("said"), text);
  }
}

function render() {
  byId("door").hidden = true;
  mark(byId("main"), "aria-busy", "false");
  for (const id of ["ring-card", "shards-card", "steer", "routers-card"]) {
    byId(id).hidden = false;
  }
  byId("more").hidden = token() !== "";      // a link does not bring it along
  document.title = `${cluster.cluster}: ${cluster.state}`;
  const {reshard} = cluster;
  const down = cluster.shards.filter((/** @type {any} */ {up}) => !up).map((/** @type {any} */ {name}) => name);
  if (down.length > 0) {
    verdict(`${down.join(", ")} ${down.length === 1 ? "does" : "do"} not answer.`, "unwell");
  } else if (reshard) {
    verdict(sentenceOf(reshard), reshard.error ? "unwell" : "caution");
    write(byId("said"), spokenOf(reshard));
  } else {
    verdict(`Stable: ${counted(cluster.shards.length, "shard")}, all up.`, "well");
  }
  const rows = cluster.shards.flatMap((/** @type {any} */ shard) => Object.values(shard.rows ?? {}));
  const total = rows.reduce((/** @type {number} */ sum, /** @type {any} */ n) => sum + (n ?? 0), 0);
  const twice = cluster.state === "moving" ? " (moving ones where they come from and where they go)" : "";
  write(byId("facts"), `${counted(total, "row")}${twice}, map version ${cluster.version}, backend ${cluster.backend}` +
    (cluster.fence ? "" : ", without a fence: shards cannot be added or removed"));

  move.show(reshard ?? lastReshard, hue);
  ring.show(cluster, hue);
  shards.show(cluster, hue);
  const isMoving = cluster.state === "moving";
  byId("add").hidden = isMoving || !cluster.fence;
  write(byId("steer-note"), isMoving ? "One at a time: when this move is over." : cluster.fence
    ? "Its share of the rows moves to it while reads and writes go on."
    : "This cluster has no fence, so no shard can be added.");
  byId("add-dsn-label").hidden = cluster.backend !== "dsn";
  byId("add-dsn").required = cluster.backend === "dsn";
  const known = [...byId("routers").children];
  arrange(byId("routers"), cluster.routers.map((/** @type {any} */ {id, host, pid, version}, /** @type {number} */ n) => {
    const item = known[n] ?? document.createElement("li");
    write(item, `${id}: ${host}, pid ${pid}, map ${version}`);
    return item;
  }));
}

/** How the move that is over ended. */
async function askForLast() {
  if (isAskingLast) {
    return;
  }
  isAskingLast = true;
  try {
    lastReshard = await (await ask("v1/cluster/reshard")).json();
    write(byId("said"), `${lastReshard.kind === "add" ? "Adding" : "Removing"} ${lastReshard.shard}: ${lastReshard.state}.`);
    render();
  } catch (error) {
    // The stream says what is wrong. But it may be well, and then says nothing that would make us ask again.
    const {status = 0} = /** @type {import("./kit/http.js").Failure} */ (error);
    if (status < 400 || status >= 500) {
      setTimeout(askForLast, RETRY_MS);
    }
  } finally {
    isAskingLast = false;
  }
}

/** Do it, and say what became of it. @param {() => Promise<any>} change */
async function attempt(change) {
  byId("problem").hidden = true;
  try {
    await change();
  } catch (error) {
    const failure = /** @type {import("./kit/http.js").Failure} */ (error);
    if (failure.status === 401) {
      showDoor(failure);
      return;
    }
    byId("problem").hidden = false;
    write(byId("problem"), sentence(failure.message));
  }
}

/** @param {string} action @param {unknown} [body] */
async function steer(action, body) {
  if (action === "cancel" && !await sure("Cancel the move?", "What was moved goes back where it was; what clients wrote meanwhile is kept.", "Cancel the move")) {
    return;
  }
  await attempt(async () => {
    const reshard = await send("POST", `v1/cluster/reshard/${action}`, body);
    if (cluster.reshard) {
      cluster.reshard = reshard;
      render();
    }
  });
}

/** @param {string} name */
async function askToRemove(name) {
  if (await sure(`Remove ${name}?`, `Its rows move to the other shards while reads and writes go on; then its server is stopped.`, `Remove ${name}`)) {
    await attempt(() => send("DELETE", `v1/cluster/shards/${encodeURIComponent(name)}`));
  }
}

/** @param {string} title @param {string} text @param {string} yes @returns {Promise<boolean>} */
function sure(title, text, yes) {
  const dialog = byId("sure");
  write(byId("sure-title"), title);
  write(byId("sure-text"), text);
  write(byId("sure-yes"), yes);
  dialog.returnValue = "no";
  dialog.showModal();
  byId("sure-no").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), {once: true});
  });
}

byId("add").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  const rate = byId("add-rate").value.trim();
  const dsn = byId("add-dsn").value.trim();
  attempt(async () => {
    await send("POST", "v1/cluster/shards", {
      name: byId("add-name").value.trim(), weight: Number(byId("add-weight").value), hold: byId("add-hold").checked,
      ...(rate === "" ? {} : {rate: Number(rate)}), ...(dsn === "" ? {} : {dsn}),
    });
    byId("add-name").value = "";
    byId("add-dsn").value = "";
  });
});

byId("door-form").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  keepToken(byId("token").value);
  verdict("Asking the router…", "waiting");
  stream.start();
});

wayHome(byId("up"));
themeButton(byId("theme"));
stream.start();
