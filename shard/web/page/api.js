// The router's HTTP: requests with the token, and failures said as sentences.

const PATIENCE_MS = 15_000;
const PLACE = "hotpath-shard-token";

/** What went wrong, for the reader. `status` is 0 when nothing answered. */
export class Failure extends Error {
  /** @param {string} message @param {number} status */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** @returns {string} */
export const token = () => sessionStorage.getItem(PLACE) ?? "";

/** @param {string} text */
export function keepToken(text) {
  sessionStorage.setItem(PLACE, text);
}

/** @returns {Record<string, string>} */
function credentials() {
  return token() ? {Authorization: `Bearer ${token()}`} : {};
}

/**
 * @param {string} path relative to the page, which may stand behind a prefix
 * @param {RequestInit} [options]
 * @returns {Promise<Response>} one that is ok
 */
export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), {
      cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), ...options,
      headers: {...credentials(), ...options.headers},
    });
  } catch {
    throw new Failure("The router does not answer.", 0);
  }
  if (!response.ok) {
    throw new Failure(await reasonOf(response), response.status);
  }
  return response;
}

/**
 * Change something.
 * @param {string} method @param {string} path @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function send(method, path, body) {
  const options = body === undefined ? {method} :
    {method, body: JSON.stringify(body), headers: {"Content-Type": "application/json"}};
  return (await ask(path, options)).json();
}

/** @param {Response} response @returns {Promise<string>} what a problem+json says, or the status alone */
async function reasonOf(response) {
  try {
    const {detail, title, errors} = await response.json();
    return (errors ?? []).map((/** @type {any} */ one) => one.path ? `${one.path} ${one.message}` : one.message).join("; ")
      || detail || title;
  } catch {
    return `The router answered ${response.status}.`;
  }
}
