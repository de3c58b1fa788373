// The router's HTTP: requests with the token, and failures said as sentences.

import {Failure, ask as tryTo, posting, problemOf} from "./kit/http.js";

const PATIENCE_MS = 15_000;

/**
 * @param {string} path relative to the page, which may stand behind a prefix
 * @param {RequestInit} [options]
 * @returns {Promise<Response>} one that is ok
 */
export async function ask(path, options = {}) {
  const response = await tryTo(path, {patienceMs: PATIENCE_MS, ...options}).catch((failure) => failure.response);
  if (!response) {
    throw new Failure("The router does not answer.", 0);
  }
  if (!response.ok) {
    throw new Failure(await problemOf(response) || `The router answered ${response.status}.`, response.status, response);
  }
  return response;
}

/**
 * Change something.
 * @param {string} method @param {string} path @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function send(method, path, body) {
  return (await ask(path, body === undefined ? {method} : {...posting(body), method})).json();
}
