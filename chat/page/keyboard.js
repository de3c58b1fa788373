// Keys that work everywhere: other channels, the switcher, and a way out of whatever is open.

import {inOrder} from "./channels.js";
import {openSwitcher} from "./switcher.js";

/** @param {import("./app.js").App} app @param {AbortSignal} signal ends it */
export function watchKeys(app, signal) {
  document.addEventListener("keydown", (event) => {
    const {key, altKey, ctrlKey, metaKey, shiftKey} = event;
    if (document.querySelector("dialog[open]")) {
      return;
    }
    if ((ctrlKey || metaKey) && key.toLowerCase() === "k") {
      event.preventDefault();
      openSwitcher(app);
    } else if (altKey && (key === "ArrowUp" || key === "ArrowDown")) {
      event.preventDefault();
      toNeighbour(app, key === "ArrowDown" ? 1 : -1, shiftKey);
    } else if (key === "Escape") {
      escape(app);
    } else if (key.length === 1 && !ctrlKey && !metaKey && !altKey && document.activeElement === document.body) {
      app.room.composer.focus();        // the key itself goes there
    }
  }, {signal});
}

/** @param {import("./app.js").App} app @param {1 | -1} step @param {boolean} onlyUnread */
function toNeighbour(app, step, onlyUnread) {
  const {channels, directs} = inOrder(app.chat.entries.values(), app.people);
  const all = [...channels, ...directs];
  const here = all.findIndex((entry) => entry === app.room.entry);
  const from = here < 0 && step < 0 ? all.length : here;
  for (let n = 1; n <= all.length; n++) {
    const entry = all[(from + step * n + 2 * all.length) % all.length];
    if (entry && (!onlyUnread || entry.log.counts.unread)) {
      app.go(entry.id);
      return;
    }
  }
}

/** @param {import("./app.js").App} app */
function escape(app) {
  if (app.pane.content) {
    app.pane.close();
  } else if (app.room.entry?.isMember) {
    app.room.toLatest();
    app.room.composer.focus();
  }
}
