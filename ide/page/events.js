// The events socket: each message once and in order, also across a lost line.

import {onSessionOver} from "./api.js";
import {socketAt} from "./base.js";

const FIRST_MS = 300;
const LONGEST_MS = 8000;
const SESSION_OVER = 4401;

export class Events {
  /**
   * @param {string} id of the project
   * @param {(message: any) => void} hear each message; `hello` first
   * @param {(isConnected: boolean) => void} changed
   */
  constructor(id, hear, changed) {
    this.id = id;
    this.hear = hear;
    this.changed = changed;
    this.isConnected = false;
    /** @type {number | null} of the last message */
    this.seq = null;
    this.failures = 0;
    this.timer = 0;
    addEventListener("online", () => this.now());
    addEventListener("session", () => this.now());
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    const since = this.seq === null ? "" : `?since=${this.seq}`;
    const socket = this.socket = new WebSocket(socketAt(`api/projects/${encodeURIComponent(this.id)}/events${since}`));
    socket.onmessage = ({data}) => {
      const message = JSON.parse(data);
      if (message.type === "hello") {
        this.failures = 0;
        this.isConnected = true;
        this.changed(true);
      }
      this.seq = message.seq ?? this.seq;
      this.hear(message);
    };
    socket.onclose = ({code}) => {
      if (this.socket !== socket) {
        return;
      }
      if (this.isConnected) {
        this.isConnected = false;
        this.changed(false);
      }
      if (code === SESSION_OVER) {
        onSessionOver.fn();
      }
      // Full jitter: pages that lost the same server do not come back as one.
      const wait_ms = Math.random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** ++this.failures);
      this.timer = setTimeout(() => this.open(), wait_ms);
    };
  }

  /** Try at once. */
  now() {
    if (!this.isConnected && this.socket?.readyState !== WebSocket.CONNECTING) {
      this.failures = 0;
      this.open();
    }
  }
}
