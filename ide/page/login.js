// The form that asks for the token.

import {wayHome} from "./kit/house.js";
import {ask, Failure} from "./api.js";
import {at} from "./base.js";
import {field, openDialog} from "./dialog.js";
import {h} from "./dom.js";

/** Ask until it is right. @param {string} trouble @returns {Promise<void>} */
export const askForToken = (trouble) => new Promise((done) => {
  let isIn = false;
  const open = () => {
    const up = h("a", {hidden: true}, "All systems");
    wayHome(up, new URL(at("")));
    const token = field("Token", "", {type: "password", required: true, autocomplete: "current-password", autofocus: true});
    openDialog({
      title: "Log in", action: "Log in", look: "login",
      content: [h("p", {class: "soft"}, "The server prints its address with the token when it starts, and keeps it in the file ", h("code", {}, "token"), " of its data folder."),
        token.root, trouble ? h("p", {class: "trouble"}, trouble) : "", up],
      act: async () => {
        try {
          await ask("POST", "api/session", {json: {token: token.input.value.trim()}});
          isIn = true;
        } catch (error) {
          throw /** @type {Failure} */ (error).status === 401 ? new Error("That is not the token.") : error;
        }
      },
      closed: () => isIn ? done() : open(),
    });
  };
  open();
});
