// The page begins: finds out who one is, then shows the chat, or asks.

import {byId, write} from "../kit/dom.js";
import {api, onSessionOver} from "./api.js";
import {App} from "./app.js";
import {Backoff} from "./backoff.js";
import {logIn} from "./login.js";

/** @typedef {import("./api.js").User} User */

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

const stage = byId("stage");
const opening = byId("opening");

/** @returns {Promise<{user: User, epoch: string} | null>} null: nobody is logged in */
async function whoAmI() {
  for (const pause = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);;) {
    try {
      return await api.me();
    } catch (error) {
      const failure = /** @type {import("./api.js").Failure} */ (error);
      if (failure.status === 401) {
        return null;
      }
      write(opening, `${failure.message} Trying again…`);
      await new Promise((resolve) => setTimeout(resolve, Math.max(failure.waitMs, pause.next())));
    }
  }
}

/** @param {{note?: string, isOut?: boolean}} how  with `isOut` it is known that nobody is logged in: no need to ask */
async function begin({note = "", isOut = false} = {}) {
  let me = isOut ? null : await whoAmI();
  while (me === null) {
    await logIn(stage, note);
    me = await whoAmI();
  }
  const app = new App(me.user, me.epoch, stage, (why) => {
    onSessionOver.fn = () => {};
    document.title = "chat";
    begin({note: why, isOut: true});
  });
  onSessionOver.fn = () => app.close("Your session is over. Log in to go on.");
  app.start();
}

// The server says so where it got no cookie: then to ask would only fail.
begin({isOut: document.documentElement.dataset.session === "no"});
