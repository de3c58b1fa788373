// The HTTP side: one function per question, and failures that say whether asking again can help.

import {at} from "./base.js";

const PATIENCE_MS = 20_000;

/**
 * @typedef {{id: number, name: string, display: string, admin: boolean, active: boolean}} User
 * @typedef {{id: number, channel: number, seq: number, user: number, text: string, at: number, client_msg_id: string,
 *   root: number | null, edited_at: number | null, deleted: boolean, reactions: Record<string, number[]>,
 *   replies: number, mentions: number[]}} Message
 * @typedef {{role: string, last_read: number, rev: number, unread: number, mentions: number}} Membership
 * @typedef {{id: number, kind: "public" | "private" | "dm", name: string, topic: string, archived: boolean,
 *   head: number, created_at: number, member?: Membership}} Channel
 * @typedef {{messages: Message[], head: number, more_before: boolean, more_after: boolean}} Page
 */

/** What came instead of an answer; `status` 0: nothing came. */
export class Failure extends Error {
  /** @param {number} status @param {string} detail @param {number} waitMs that the server asked for */
  constructor(status, detail, waitMs = 0) {
    super(detail);
    this.status = status;
    this.waitMs = waitMs;
  }

  /** Whether the same request can never succeed; otherwise a later try may. */
  get isRefusal() {
    return this.status >= 400 && this.status < 500 && ![401, 408, 425, 429].includes(this.status);
  }
}

/** Told of every 401: the session is over. @type {{fn: () => void}} */
export const onSessionOver = {fn: () => {}};

/**
 * @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<any>} the JSON; null for 204
 * @throws {Failure}
 */
async function ask(method, path, body) {
  /** @type {RequestInit} */
  const options = {method, signal: AbortSignal.timeout(PATIENCE_MS), credentials: "same-origin"};
  if (body !== undefined) {
    options.headers = {"Content-Type": "application/json"};
    options.body = JSON.stringify(body);
  }
  let response;
  let text;
  try {
    response = await fetch(at(path), options);
    text = await response.text();
  } catch {
    throw new Failure(0, "The server cannot be reached.");
  }
  if (response.ok) {
    return text ? JSON.parse(text) : null;
  }
  const waitMs = 1000 * (Number(response.headers.get("Retry-After")) || 0);
  const failure = new Failure(response.status, detailOf(text) || `The server answered ${response.status}.`, waitMs);
  if (failure.status === 401 && path !== "api/login") {
    onSessionOver.fn();
  }
  throw failure;
}

/** What a problem document says, RFC 9457. @param {string} text */
function detailOf(text) {
  try {
    const {detail, title, errors} = JSON.parse(text);
    const fields = (errors ?? []).map((/** @type {{field: string, what: string}} */ e) => `${e.field}: ${e.what}`);
    return fields.length ? fields.join("; ") : detail ?? title ?? "";
  } catch {
    return "";
  }
}

/** @param {Record<string, string | number | null | undefined>} query */
function queryOf(query) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `?${text}` : "";
}

const reactionPath = (/** @type {number} */ id, /** @type {string} */ emoji) =>
  `api/messages/${id}/reactions/${encodeURIComponent(emoji)}`;

export const api = {
  /** @param {string} name @param {string} password */
  signUp: (name, password) => ask("POST", "api/users", {name, password}),
  /** @param {string} name @param {string} password */
  logIn: (name, password) => ask("POST", "api/login", {name, password}),
  logOut: () => ask("POST", "api/logout"),
  me: () => ask("GET", "api/me"),

  /** @param {{prefix?: string, after?: number, limit?: number}} [query] */
  users: async (query = {}) => (await ask("GET", `api/users${queryOf(query)}`)).users,
  /** @param {number} id */
  user: (id) => ask("GET", `api/users/${id}`),
  /** @param {number} id @param {object} change */
  changeUser: (id, change) => ask("PATCH", `api/users/${id}`, change),

  /** @param {"mine" | "public"} scope @returns {Promise<Channel[]>} */
  channels: async (scope) => (await ask("GET", `api/channels${queryOf({scope})}`)).channels,
  /** @param {number} id @returns {Promise<Channel>} */
  channel: (id) => ask("GET", `api/channels/${id}`),
  /** @param {object} channel @returns {Promise<Channel>} */
  makeChannel: (channel) => ask("POST", "api/channels", channel),
  /** @param {number} id @param {object} change */
  changeChannel: (id, change) => ask("PATCH", `api/channels/${id}`, change),
  /** @param {number} id */
  dropChannel: (id) => ask("DELETE", `api/channels/${id}`),
  /** @param {number} id */
  members: async (id) => (await ask("GET", `api/channels/${id}/members`)).members,
  /** @param {number} channel @param {number} user */
  join: (channel, user) => ask("PUT", `api/channels/${channel}/members/${user}`, {}),
  /** @param {number} channel @param {number} user */
  leave: (channel, user) => ask("DELETE", `api/channels/${channel}/members/${user}`),

  /** @param {number} channel @param {{client_msg_id: string, text: string, root?: number}} message @returns {Promise<Message>} */
  send: (channel, message) => ask("POST", `api/channels/${channel}/messages`, message),
  /** @param {number} channel @param {{before?: number, after?: number, around?: number, limit: number}} query @returns {Promise<Page>} */
  history: (channel, query) => ask("GET", `api/channels/${channel}/messages${queryOf(query)}`),
  /** @param {number} channel @param {number} after @param {number} limit */
  events: (channel, after, limit) => ask("GET", `api/channels/${channel}/events${queryOf({after, limit})}`),
  /** @param {number} id @param {string} text @returns {Promise<Message>} */
  edit: (id, text) => ask("PATCH", `api/messages/${id}`, {text}),
  /** @param {number} id */
  remove: (id) => ask("DELETE", `api/messages/${id}`),
  /** @param {number} id @param {string} emoji @param {boolean} on @returns {Promise<Message>} */
  react: (id, emoji, on) => ask(on ? "PUT" : "DELETE", reactionPath(id, emoji)),
  /** @param {number} root @param {number} after @param {number} limit @returns {Promise<{root: Message, messages: Message[]}>} */
  thread: (root, after, limit) => ask("GET", `api/messages/${root}/thread${queryOf({after, limit})}`),
  /** @param {number} channel @param {number} seq @param {boolean} back */
  read: (channel, seq, back) => ask("PUT", `api/channels/${channel}/read`, back ? {seq, back} : {seq}),
  /** @param {{q: string, channel?: number, from?: number, before?: number, limit?: number}} query @returns {Promise<Message[]>} */
  search: async (query) => (await ask("GET", `api/search${queryOf(query)}`)).hits,

  /** @param {string[]} exclude */
  connect: (exclude) => ask("POST", "api/connect", {exclude}),
};
