// Requests to this server, and failures said as sentences.

import {REFUSED, token} from "./door.js";

const PATIENCE_MS = 10_000;

/** What went wrong, for the reader. `status` is 0 when nothing answered. */
export class Failure extends Error {
  /** @param {string} message @param {number} status @param {Response | null} response */
  constructor(message, status, response = null) {
    super(message);
    this.status = status;
    this.response = response;
  }
}

/**
 * Ask for a path relative to the page: behind a proxy the page may have a path of its own.
 * @param {string} path @param {RequestInit & {patienceMs?: number}} options
 * @returns {Promise<Response>} whatever its status; throws a Failure when nothing answers
 */
export async function ask(path, {patienceMs = PATIENCE_MS, headers = {}, ...options} = {}) {
  const authorization = token() ? {Authorization: `Bearer ${token()}`} : {};
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), {
      cache: "no-store", signal: AbortSignal.timeout(patienceMs), ...options, headers: {...headers, ...authorization},
    });
  } catch {
    throw new Failure("the server does not answer", 0);
  }
  if (response.status === 401) {
    window.dispatchEvent(new Event(REFUSED));
    throw new Failure("the server asks for a token", 401, response);
  }
  return response;
}

/** @param {Response} response @returns {Promise<any>} its JSON; throws a Failure when its status is an error */
export async function jsonOf(response) {
  if (!response.ok) {
    throw new Failure(await reasonOf(response), response.status, response);
  }
  try {
    return await response.json();
  } catch {
    throw new Failure("the answer was cut off", 0, response);
  }
}

/** @param {Response} response @returns {Promise<string>} what a problem+json says, or the status alone */
export async function reasonOf(response) {
  const problem = await problemOf(response);
  return problem ? `the server answered ${response.status}: ${problem}` : `the server answered ${response.status}`;
}

/** @param {Response} response @returns {Promise<string>} each error of a problem+json, or its detail; "" when it is none */
export async function problemOf(response) {
  try {
    const {detail, title, errors = []} = await response.clone().json();
    return errors.map((/** @type {any} */ {path, message}) => path ? `${path} ${message}` : message).join("; ")
      || (detail ?? title ?? "");
  } catch {
    return "";
  }
}

/** @param {unknown} body @returns {RequestInit} of a request with JSON in it */
export const posting = (body) =>
  ({method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
