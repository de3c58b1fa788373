// One person's copy of the item: the version it has, the lock if it holds it, and each request on the wire.

import {copyOf, mark, write} from "./kit/dom.js";
import {ask} from "./kit/http.js";
import {Lock} from "./lock.js";

const MOST_EXCHANGES = 4;       // shown
const TTL_S = 30;

export class Pane {
  id = "";
  etag = "";
  theirs = "";              // the version that made ours too old

  /** @param {string} name @param {number} hue */
  constructor(name, hue) {
    this.name = name;
    const {root, parts} = copyOf("pane");
    this.root = root;
    this.parts = parts;
    this.lock = new Lock(() => this.#render());
    mark(root, "aria-label", name);
    mark(root, "data-hue", String(hue));
    parts.badge.textContent = name;
    parts.form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#guarded(() => this.#save(this.etag));
    });
    parts.reload.addEventListener("click", () => this.#guarded(() => this.#read()));
    parts.over.addEventListener("click", () => {
      const {theirs} = this;
      this.#guarded(() => this.#save(theirs));
    });
    parts.lock.addEventListener("click", () => this.#guarded(() => this.lock.isHeld ? this.#release() : this.#take()));
    parts.renew.addEventListener("click", () => this.#guarded(() => this.#renew()));
  }

  /** @param {string | number} id */
  open(id) {
    this.id = String(id);
    this.lock.drop();
    this.parts.wire.replaceChildren();
    this.#guarded(() => this.#read());
  }

  get #path() {
    return `items/${encodeURIComponent(this.id)}`;
  }

  /** @param {() => Promise<void>} work */
  async #guarded(work) {
    try {
      this.theirs = "";
      await work();
    } catch (error) {
      this.#say(`Nothing was sent or nothing came back: ${/** @type {Error} */ (error).message}.`, "unwell");
    }
    this.#render();
  }

  async #read() {
    const response = await this.#send("GET", this.#path);
    if (!response.ok) {
      this.#say(response.status === 404 ? "This item is gone." : `The server answered ${response.status}.`, "unwell");
      return;
    }
    const item = await response.json();
    this.etag = response.headers.get("ETag") ?? "";
    this.parts.title.value = item.title;
    this.parts.body.value = item.body ?? "";
    this.#say(`Read: this is version ${item.version}.`, "plain");
  }

  /** @param {string} etag what the item must still be */
  async #save(etag) {
    const {title, body} = this.parts;
    const response = await this.#send("PUT", this.#path, {
      fields: {"If-Match": etag, ...this.lock.fields}, body: {title: title.value, body: body.value},
    });
    if (response.ok) {
      this.etag = response.headers.get("ETag") ?? "";
      this.#say(`Saved as version ${versionOf(this.etag)}.`, "well");
    } else if (response.status === 412) {
      this.theirs = response.headers.get("ETag") ?? "";
      const now = await (await ask(this.#path)).json();
      this.#say(`Refused: you edited version ${versionOf(this.etag)}, but version ${versionOf(this.theirs)} is there by now. `
        + `It reads “${now.title}: ${now.body ?? ""}”. Nothing was overwritten.`, "unwell");
    } else if (response.status === 423) {
      await this.#sayLocked(response);
    } else {
      await this.#sayRefused(response);
    }
  }

  async #take() {
    const response = await this.#send("POST", `${this.#path}/lock`, {body: {owner: this.name, ttl: TTL_S}});
    if (response.ok) {
      this.lock.hold((await response.json()).token, TTL_S);
      this.#say("The lock is yours: others are refused until you release it, or its time is up.", "well");
    } else if (response.status === 423) {
      await this.#sayLocked(response);
    } else {
      await this.#sayRefused(response);
    }
  }

  async #renew() {
    const response = await this.#send("PUT", `${this.#path}/lock`, {fields: this.lock.fields});
    if (response.ok) {
      this.lock.extend(TTL_S);
      this.#say(`The lock is yours for another ${TTL_S} seconds.`, "well");
    } else {
      await this.#sayLocked(response);
    }
  }

  async #release() {
    const response = await this.#send("DELETE", `${this.#path}/lock`, {fields: this.lock.fields});
    if (response.ok) {
      this.lock.drop();
      this.#say("The lock is free again.", "plain");
    } else {
      await this.#sayLocked(response);
    }
  }

  /** @param {Response} response */
  async #sayLocked(response) {
    const {owner} = await response.json().catch(() => ({}));
    const wait = response.headers.get("Retry-After");
    const when = wait ? ` Try again in ${wait} s.` : "";
    if (this.lock.isHeld) {
      this.lock.drop();
      this.#say(`Refused: your lock is no longer valid${owner ? `; ${owner} holds it` : ""}.${when}`, "unwell");
    } else {
      this.#say(`Refused: ${owner ?? "somebody else"} holds the lock.${when}`, "unwell");
    }
  }

  /** @param {Response} response */
  async #sayRefused(response) {
    const {detail, title} = await response.json().catch(() => ({}));
    this.#say(`The server answered ${response.status}: ${detail ?? title ?? response.statusText}.`, "unwell");
  }

  /**
   * @param {string} method @param {string} path
   * @param {{fields?: Record<string, string>, body?: unknown}} how
   * @returns {Promise<Response>}
   */
  async #send(method, path, {fields = {}, body} = {}) {
    const response = await ask(path, {
      method,
      headers: {...fields, ...(body === undefined ? {} : {"Content-Type": "application/json"})},
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const {root, parts} = copyOf("exchange");
    parts.asked.textContent = [`${method} /${path}`, ...Object.entries(fields).map((pair) => pair.join(": "))].join("\n");
    parts.answered.textContent = [`${response.status} ${response.statusText}`, ...["ETag", "Lock-Token", "Retry-After"]
      .filter((name) => response.headers.has(name)).map((name) => `${name}: ${response.headers.get(name)}`)].join("\n");
    mark(root, "data-mark", response.ok ? "plain" : "bad");
    this.parts.wire.prepend(root);
    [...this.parts.wire.children].slice(MOST_EXCHANGES).forEach((old) => old.remove());
    return response;
  }

  /** @param {string} text @param {"plain" | "well" | "unwell"} mood */
  #say(text, mood) {
    write(this.parts.answer, text);
    mark(this.parts.answer, "data-mood", mood);
  }

  #render() {
    const {holds, lock, over, renew} = this.parts;
    write(holds, [this.etag ? `has version ${versionOf(this.etag)}` : "has nothing yet", this.lock.words].filter((one) => one).join(", "));
    write(lock, this.lock.isHeld ? "Release the lock" : "Take the lock");
    renew.hidden = !this.lock.isHeld;
    over.hidden = !this.theirs;
  }
}

/** @param {string} etag "v3" @returns {string} 3 */
const versionOf = (etag) => etag.replace(/[^\d]/g, "");
