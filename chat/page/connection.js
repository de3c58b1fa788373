// The websocket: asks where to go, connects, resumes, hears when the line is dead, and comes back with back-off.

import {api, Failure} from "./api.js";
import {Backoff} from "./backoff.js";
import {socketAt} from "./base.js";

/**
 * @typedef {"live" | "connecting" | "offline"} State
 * @typedef {object} Ears
 * @property {() => {epoch: string | null, since: Record<string, number>}} where   how far we came
 * @property {(frame: any) => void} frame
 * @property {(state: State, nextTryAt: number | null) => void} state              ms, as Date.now()
 * @property {() => void} sessionOver
 */

const RETRY = {base_ms: 500, cap_ms: 30_000};
const OPEN_PATIENCE_MS = 10_000;        // for the handshake, then for `ready`
const PONG_PATIENCE_MS = 8_000;
const RELOAD_AFTER_MS = 10_000;         // a page that was just loaded would be refused again: then another gateway is tried
const STABLE_MS = 5_000;                // a line that held so long starts the back-off anew
const DEFAULT_PING_S = 25;

const SESSION_OVER = 4001;
const TOO_SLOW = 4008;

export class Connection {
  /** @param {Ears} ears */
  constructor(ears) {
    this.ears = ears;
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {State} */
    this.state = "connecting";
    this.backoff = new Backoff(RETRY.base_ms, RETRY.cap_ms);
    this.gateway = "";
    /** Gateways that just failed us; the next ticket is for another. @type {Set<string>} */
    this.exclude = new Set();
    this.isStopped = false;
    this.liveSince = 0;
    this.pingId = 0;
    /** Numbers the attempts, so that a late answer to an earlier one is known as such. */
    this.attempt = 0;
    /** @type {Record<string, number | undefined>} */
    this.timers = {};
    this.pingMs = 1000 * DEFAULT_PING_S;
    // The page's policy names the gateways there were when it was loaded. One that came later is out of its reach, until
    // the page is loaded again; drafts and what is pending are kept.
    document.addEventListener("securitypolicyviolation", ({effectiveDirective}) => {
      if (effectiveDirective === "connect-src" && !this.isStopped && performance.now() > RELOAD_AFTER_MS) {
        location.reload();
      }
    });
  }

  start() {
    this.#dial();
  }

  stop() {
    this.isStopped = true;
    this.#drop();
  }

  /** Try at once, if we are not connected: somebody asked, or the network is back. */
  hurry() {
    if (this.state !== "live" && this.timers.retry !== undefined) {
      this.#dial();
    }
  }

  /** @param {object} frame @returns {boolean} whether it left */
  send(frame) {
    if (this.state !== "live" || this.socket?.readyState !== WebSocket.OPEN) {
      return false;
    }
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  /** The network may have gone or come: look at once instead of at the next ping. */
  async check() {
    if (this.state !== "live") {
      this.hurry();
      return;
    }
    const attempt = this.attempt;
    try {
      await api.me();                   // a line that stands may still be one that leads nowhere
    } catch (error) {
      if (attempt === this.attempt && /** @type {Failure} */ (error).status === 0) {
        this.#lost(false);
        return;
      }
    }
    if (attempt === this.attempt) {
      this.#ping();
    }
  }

  /** To another gateway: this one is asked to go. It serves us until the next one is known. */
  async #move() {
    const attempt = this.attempt;
    try {
      const place = await api.connect([...this.exclude]);
      if (attempt === this.attempt && !this.isStopped) {
        this.#drop();
        this.#open(place, ++this.attempt);
      }
    } catch {
      // It will close the line itself, and then we come back like everyone.
    }
  }

  async #dial() {
    this.#drop();
    const attempt = ++this.attempt;
    if (this.state !== "offline") {
      this.#say("connecting");
    }
    let place;
    try {
      place = await api.connect([...this.exclude]);
    } catch (error) {
      if (attempt !== this.attempt || this.isStopped) {
        return;
      }
      const failure = /** @type {Failure} */ (error);
      if (failure.status === 401) {
        return;                         // the login page has taken over
      }
      this.exclude.clear();
      this.#lost(false, failure.waitMs);
      return;
    }
    if (attempt !== this.attempt || this.isStopped) {
      return;
    }
    this.#open(place, attempt);
  }

  /** @param {{url: string, ticket: string, gateway: string, retry?: {base_ms: number, cap_ms: number}}} place @param {number} attempt */
  #open(place, attempt) {
    this.backoff.baseMs = place.retry?.base_ms ?? RETRY.base_ms;
    this.backoff.capMs = place.retry?.cap_ms ?? RETRY.cap_ms;
    this.gateway = place.gateway;
    const url = socketAt(place.url);
    url.searchParams.set("ticket", place.ticket);
    const socket = new WebSocket(url);
    this.socket = socket;
    const isOurs = () => attempt === this.attempt && this.socket === socket;
    this.#after("open", OPEN_PATIENCE_MS, () => this.#lost(true));
    socket.onopen = () => {
      if (isOurs()) {
        socket.send(JSON.stringify({type: "start", ...this.ears.where()}));
      }
    };
    socket.onmessage = ({data}) => {
      if (isOurs()) {
        this.#heard(JSON.parse(data));
      }
    };
    socket.onclose = ({code}) => {
      if (isOurs()) {
        this.#closed(code);
      }
    };
  }

  /** @param {any} frame */
  #heard(frame) {
    this.#cancel("pong");               // anything that comes shows that the line lives
    if (frame.type === "hello") {
      this.pingMs = 1000 * (frame.ping_s || DEFAULT_PING_S);
    } else if (frame.type === "ready") {
      this.#cancel("open");
      this.exclude.clear();
      this.liveSince = Date.now();
      this.ears.frame(frame);
      this.#say("live");
      this.#after("ping", this.pingMs, () => this.#ping());
      return;
    } else if (frame.type === "reconnect") {
      this.exclude.add(this.gateway);
      this.#after("move", frame.after_ms, () => this.#move());
    }
    this.ears.frame(frame);
  }

  #ping() {
    if (this.send({type: "ping", id: ++this.pingId})) {
      this.#after("pong", PONG_PATIENCE_MS, () => this.#lost(true));
      this.#after("ping", this.pingMs, () => this.#ping());
    }
  }

  /** @param {number} code */
  #closed(code) {
    if (code === SESSION_OVER) {
      this.#drop();
      this.ears.sessionOver();
      return;
    }
    // A second 4008 in a row waits its turn like any other: the line is too slow for us.
    this.#lost(code !== TOO_SLOW, 0, code === TOO_SLOW && this.#wasStable());
  }

  #wasStable() {
    return this.liveSince > 0 && Date.now() - this.liveSince > STABLE_MS;
  }

  /** @param {boolean} isGatewaysFault @param {number} waitMs at least @param {boolean} isAtOnce */
  #lost(isGatewaysFault, waitMs = 0, isAtOnce = false) {
    if (isGatewaysFault && this.gateway) {
      this.exclude.add(this.gateway);
    }
    const hadLine = this.state === "live";
    if (this.#wasStable()) {
      this.backoff.reset();
    }
    this.#drop();
    this.attempt++;
    const pauseMs = isAtOnce ? 0 : Math.max(waitMs, this.backoff.next());
    this.liveSince = 0;
    // The first try after a loss is on its way in a moment; only when that fails too are we offline.
    this.#say(hadLine && navigator.onLine ? "connecting" : "offline", Date.now() + pauseMs);
    this.#after("retry", pauseMs, () => this.#dial());
  }

  #drop() {
    Object.keys(this.timers).forEach((name) => this.#cancel(name));
    const socket = this.socket;
    this.socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(1000);
    }
  }

  /** @param {State} state @param {number | null} nextTryAt */
  #say(state, nextTryAt = null) {
    this.state = state;
    this.ears.state(state, nextTryAt);
  }

  /** @param {string} name @param {number} ms @param {() => void} fn */
  #after(name, ms, fn) {
    this.#cancel(name);
    this.timers[name] = window.setTimeout(() => {
      this.timers[name] = undefined;
      fn();
    }, ms);
  }

  /** @param {string} name */
  #cancel(name) {
    window.clearTimeout(this.timers[name]);
    this.timers[name] = undefined;
  }
}
