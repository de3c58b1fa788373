// The HTTP side: one function per question, and failures that say who must act.

import {at} from "./base.js";

const PATIENCE_MS = 30_000;

/** What came instead of an answer; `status` 0: nothing came. */
export class Failure extends Error {
  /** @param {number} status @param {string} detail @param {Record<string, any>} problem */
  constructor(status, detail, problem = {}) {
    super(detail);
    this.status = status;
    this.code = problem.code ?? "";
    this.problem = problem;
  }

  /** Whether the same request may succeed later. */
  get isPassing() {
    return this.status === 0 || this.status === 401 || this.status === 429 || this.status >= 502;
  }
}

/** Told of each 401: the session is over. */
export const onSessionOver = {fn: () => {}};

/**
 * @param {string} method @param {string} path below the base
 * @param {{json?: unknown, body?: BodyInit, headers?: Record<string, string>, signal?: AbortSignal, patience_ms?: number}} [given]
 * @returns {Promise<Response>} with a good status, or 304
 * @throws {Failure}
 */
export async function ask(method, path, {json, body, headers = {}, signal, patience_ms = PATIENCE_MS} = {}) {
  const patience = AbortSignal.timeout(patience_ms);
  /** @type {RequestInit} */
  const options = {method, headers, body, credentials: "same-origin", signal: signal ? AbortSignal.any([signal, patience]) : patience};
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers = {"Content-Type": "application/json", ...headers};
  }
  let response;
  try {
    response = await fetch(at(path), options);
  } catch {
    throw new Failure(0, signal?.aborted ? "Cancelled." : "The server cannot be reached.");
  }
  if (response.ok || response.status === 304) {
    return response;
  }
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401 && path !== "api/session") {
    onSessionOver.fn();
  }
  throw new Failure(response.status, problem.detail || problem.title || `The server answered ${response.status}.`, problem);
}

/** @param {string} method @param {string} path @param {unknown} [json] @param {number} [patience_ms] @returns {Promise<any>} the JSON; null for 204 */
export async function tell(method, path, json, patience_ms) {
  const response = await ask(method, path, {json, patience_ms});
  return response.status === 204 ? null : response.json().catch(() => null);
}

/** @param {Response} response @returns {string} */
const etagOf = (response) => (response.headers.get("ETag") ?? "").replace(/^W\//, "").replaceAll('"', "");

// Starting a sandbox may take its `start_timeout`, and a package index its time.
const LONG_MS = 180_000;

/** The questions about one project. Paths are hrefs: percent-encoded. */
export class ProjectApi {
  /** @param {string} id */
  constructor(id) {
    this.root = `api/projects/${encodeURIComponent(id)}`;
  }

  /** @param {string} path @param {string} [method] @param {unknown} [json] @param {number} [patience_ms] */
  tell(path, method = "GET", json = undefined, patience_ms = undefined) {
    return tell(method, `${this.root}${path}`, json, patience_ms);
  }

  /** @param {"start" | "stop" | "restart"} what @returns {Promise<import("./types.js").Project>} */
  become(what) {
    return this.tell(`/${what}`, "POST", undefined, LONG_MS);
  }

  /** @param {string} href @returns {Promise<{entries: import("./types.js").Entry[], truncated: boolean}>} */
  tree(href) {
    return this.tell(`/tree?path=${href}`);
  }

  /**
   * @param {string} href @param {string} [known] an etag
   * @returns {Promise<{bytes: Uint8Array, etag: string} | null>} null: it is still that
   */
  async read(href, known = "") {
    const response = await ask("GET", `${this.root}/file?path=${href}`, {headers: known ? {"If-None-Match": `"${known}"`} : {}});
    return response.status === 304 ? null : {bytes: new Uint8Array(await response.arrayBuffer()), etag: etagOf(response)};
  }

  /** @param {string} href @param {BodyInit} body @param {string | null} etag null: it must not exist yet @returns {Promise<string>} the new etag */
  async save(href, body, etag, parents = false) {
    const condition = etag === null ? {"If-None-Match": "*"} : {"If-Match": `"${etag}"`};
    return etagOf(await ask("PUT", `${this.root}/file?path=${href}${parents ? "&parents=1" : ""}`,
      {body, headers: {"Content-Type": "application/octet-stream", ...condition}, patience_ms: LONG_MS}));
  }

  /** @param {string} href @returns {Promise<string>} its etag, without its bytes */
  async etag(href) {
    return etagOf(await ask("HEAD", `${this.root}/file?path=${href}`));
  }

  /** @param {string} href @param {boolean} recursive */
  remove(href, recursive) {
    return this.tell(`/file?path=${href}${recursive ? "&recursive=1" : ""}`, "DELETE");
  }

  /** @param {string} href */
  makeFolder(href) {
    return this.tell(`/dir?path=${href}`, "POST");
  }

  /** @param {"move" | "copy"} how @param {string} from @param {string} to @param {boolean} overwrite */
  transfer(how, from, to, overwrite = false) {
    return this.tell(`/${how}`, "POST", {from, to, overwrite}, LONG_MS);
  }

  /** @param {string} href @param {Blob} archive */
  async unzip(href, archive) {
    const response = await ask("POST", `${this.root}/unzip?path=${href}`,
      {body: archive, headers: {"Content-Type": "application/zip"}, patience_ms: LONG_MS});
    return response.json();
  }

  /** @param {string} href @param {string} etag @returns {Promise<Uint8Array>} */
  async version(href, etag) {
    return new Uint8Array(await (await ask("GET", `${this.root}/history/${etag}?path=${href}`)).arrayBuffer());
  }

  /** @param {string} href @returns {string} for a link */
  fileAddress(href) {
    return at(`${this.root}/file?path=${href}`);
  }

  /** @param {string} href @param {boolean} all @returns {string} for a link */
  zipAddress(href, all = false) {
    return at(`${this.root}/zip?path=${href}${all ? "&all=1" : ""}`);
  }
}
