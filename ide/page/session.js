// The session: a token from the address, or from a form, becomes a cookie that no script can read.

import {ask, Failure, onSessionOver} from "./api.js";

/** Take the token out of the address before anything else can read or keep it. @returns {string} */
function tokenOfAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
  if (token) {
    history.replaceState(null, "", location.pathname + location.search);
  }
  return token;
}

/** @type {Promise<void> | null} */
let asking = null;

/** Ask for the token until it is right. @param {string} trouble @returns {Promise<void>} */
function askForToken(trouble) {
  asking ??= import("./login.js").then((form) => form.askForToken(trouble)).finally(() => { asking = null; });
  return asking;
}

/** @returns {Promise<void>} when there is a session */
export async function session() {
  const token = tokenOfAddress();
  let trouble = "";
  if (token) {
    try {
      await ask("POST", "api/session", {json: {token}});
    } catch (error) {
      trouble = /** @type {Failure} */ (error).status === 401 ? "The token in the address is not this server's." : /** @type {Error} */ (error).message;
    }
  }
  try {
    await ask("GET", "api/session");
  } catch (error) {
    if (/** @type {Failure} */ (error).status !== 401) {
      throw error;
    }
    await askForToken(trouble);
  }
  // From here on, a session that ends asks again, over what is open.
  onSessionOver.fn = () => void askForToken("The session is over.").then(() => dispatchEvent(new Event("session")));
}

export async function logOut() {
  await ask("DELETE", "api/session");
  location.assign(new URL("..", import.meta.url));
}
