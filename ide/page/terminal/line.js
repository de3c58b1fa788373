// One terminal's line to the server: comes back by itself, goes on where it was, says what is shown, hears when it is dead.
//
// What is typed is sent only while the screen shows how it is there now. It is never kept for later: by then a pager may have
// become a shell, and a key that was meant for one would be a command for the other.

import {SUBPROTOCOL, ack, attach, input, ping, read, resize} from "./protocol.js";

/**
 * Typing is on in `live` alone: the line stands, and all that was printed meanwhile is shown. `silent`: typed, and no answer.
 * @typedef {"connecting" | "live" | "silent" | "reconnecting" | "ended"} LineState
 * @typedef {object} Screen
 * @property {(bytes: Uint8Array, shown: () => void) => void} write   in order; `shown` once it is
 * @property {() => void} clear                    all before is void, in order too
 * @property {(cols: number, rows: number) => void} resize
 * @property {(leads: boolean) => void} lead       it sets the size and answers queries, or does not
 * @property {(status: number) => void} exit
 * @property {(state: LineState, isDoubtful: boolean) => void} state
 *   isDoubtful: it is live again, and what was typed last before the line was lost has perhaps not arrived
 */

const RETRY = {base_ms: 300, cap_ms: 10_000};
const OPEN_PATIENCE_MS = 10_000;        // until START
const PING_MS = 15_000;
const PONG_PATIENCE_MS = 10_000;
const SILENCE_MS = 3000;                // from a key to any word of the server: what 64 KiB of output, one message, take on a slow line
const ACK_BYTES = 32 * 1024;            // shown and not said: what a server's smallest window of use allows for
const INPUT_BYTES = 32 * 1024;          // of one message
const OPEN = 1;                         // of a WebSocket
const ENDED = 1000, GONE = 4410, SESSION_OVER = 4401, BAD_FRAME = 4400;

export class Line {
  /** @param {string} url @param {Screen} screen @param {(url: string, protocol: string) => WebSocket} [open] */
  constructor(url, screen, open = (url, protocol) => new WebSocket(url, protocol)) {
    this.url = url;
    this.screen = screen;
    this.open = open;
    /** @type {WebSocket | null} */
    this.socket = null;
    /** Of the next byte; null: we have nothing. @type {number | null} */
    this.received = null;
    this.shown = 0;             // all before it is
    this.acked = 0;
    this.present = 0;           // of START: what is before it was printed while we were not there
    this.live = 0;              // what is before it is history: its queries were answered when it was new
    this.leads = false;
    this.size = {cols: 80, rows: 24};
    this.isStarted = false;     // START came, on this socket
    this.isWanted = false;
    this.isOver = false;        // EXIT came, or the terminal is gone: there is nothing to come back for
    this.attempt = 0;
    this.epoch = 0;             // of what is shown: a write from before a clear says nothing about what is behind it
    /** @type {LineState} */
    this.state = "connecting";
    // How often was typed on this socket, up to where we asked, and up to where the server has it: it reads in order, so that
    // the answer to a ping behind a key is the key's receipt.
    this.typed = this.asked = this.taken = 0;
    this.isDoubtful = false;    // a socket was lost before the last receipt
    /** @type {Record<string, ReturnType<typeof setTimeout> | undefined>} */
    this.timers = {};
    this.encoder = new TextEncoder();
  }

  /** Be there, from now on. */
  attach() {
    if (!this.isWanted && !this.isOver) {
      this.isWanted = true;
      this.#dial();
    }
  }

  /** Go, and keep what was shown: `attach` goes on from there. */
  detach() {
    this.isWanted = false;
    this.#drop();
  }

  /** Try at once: the network is back, or somebody looks. */
  hurry() {
    if (this.timers.retry !== undefined) {
      this.#dial();
    } else if (this.isStarted) {
      this.#ping();
    }
  }

  /** What a person typed, or did with the mouse. @param {string | Uint8Array} what */
  type(what) {
    if (this.state !== "live") {
      return;
    }
    this.#send(typeof what === "string" ? this.encoder.encode(what) : what);
    this.typed++;
    if (this.asked === this.taken) {
      this.#ping();
    }
    this.timers.silence ??= setTimeout(() => this.#become("silent"), SILENCE_MS);
  }

  /** An answer to a query of the program: only one client gives it, once. @param {string} text */
  answer(text) {
    if (this.isStarted && this.leads && this.shown >= this.live) {
      this.#send(this.encoder.encode(text));
    }
  }

  /** @param {Uint8Array} bytes */
  #send(bytes) {
    for (let at = 0; at < bytes.length && this.isStarted; at += INPUT_BYTES) {
      this.#say(input(bytes.subarray(at, at + INPUT_BYTES)));
    }
  }

  /** As large as it is seen here. The server takes it from who leads, and remembers it of the others. @param {number} cols @param {number} rows */
  resize(cols, rows) {
    if (cols === this.size.cols && rows === this.size.rows) {
      return;
    }
    this.size = {cols, rows};
    if (this.isStarted) {
      this.#say(resize(cols, rows));
    }
  }

  #dial() {
    this.#drop();
    const socket = this.open(this.url, SUBPROTOCOL);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    this.#become(this.received === null ? "connecting" : "reconnecting");
    this.timers.open = setTimeout(() => this.#lost(), OPEN_PATIENCE_MS);
    socket.onopen = () => socket.send(attach(this.received, this.size.cols, this.size.rows));
    socket.onmessage = ({data}) => this.socket === socket && this.#hear(data);
    socket.onclose = ({code}) => this.socket === socket && this.#closed(code);
  }

  /** A line that is closing takes nothing, and its `onclose` is on its way. @param {Uint8Array<ArrayBuffer>} frame */
  #say(frame) {
    if (this.socket !== null && !(this.socket.readyState > OPEN)) {
      this.socket.send(frame);
    }
  }

  #drop() {
    Object.keys(this.timers).forEach((name) => {
      clearTimeout(this.timers[name]);
      this.timers[name] = undefined;
    });
    this.isDoubtful ||= this.typed > this.taken;
    this.typed = this.asked = this.taken = 0;
    const {socket} = this;
    this.socket = null;
    this.isStarted = this.leads = false;
    socket?.close();
  }

  /** @param {number} code */
  #closed(code) {
    if ((code === ENDED && this.isOver) || code === GONE || code === SESSION_OVER) {      // an end without EXIT is a lost line's
      this.isOver = code !== SESSION_OVER;
      this.isWanted = false;
      this.#drop();
      this.#become("ended");
      return;
    }
    if (code === BAD_FRAME) {
      this.received = null;     // the server's offsets and ours are not the same any more
    }
    this.#lost();
  }

  #lost() {
    this.#drop();
    if (!this.isWanted) {
      return;
    }
    // Full jitter, so that the pages of a server that was restarted do not all come back at once.
    const wait_ms = Math.random() * Math.min(RETRY.cap_ms, RETRY.base_ms * 2 ** this.attempt++);
    this.#become("reconnecting");
    this.timers.retry = setTimeout(() => this.#dial(), wait_ms);
  }

  /** @param {LineState} state */
  #become(state) {
    const isDoubtful = state === "live" && this.isDoubtful;
    this.isDoubtful &&= !isDoubtful;
    this.state = state;
    this.screen.state(state, isDoubtful);
  }

  /** Live once the screen shows how it is there now. */
  #settle() {
    if (this.isStarted && this.shown >= this.present && this.state.endsWith("connecting")) {
      this.#become("live");
    }
  }

  #ping() {
    clearTimeout(this.timers.ping);
    this.asked = this.typed;
    this.#say(ping(this.asked));
    this.timers.pong ??= setTimeout(() => this.#lost(), PONG_PATIENCE_MS);
  }

  /** @param {ArrayBuffer} data */
  #hear(data) {
    clearTimeout(this.timers.pong);
    clearTimeout(this.timers.silence);
    clearTimeout(this.timers.ping);
    this.timers.pong = this.timers.silence = undefined;
    if (this.state === "silent") {
      this.#become("live");
    }
    this.timers.ping = setTimeout(() => this.#ping(), PING_MS);
    const said = read(data);
    switch (said?.type) {
      case "start":
        this.#start(said);
        break;
      case "output":
        this.received = said.offset;
        // What a program asked for in the past and what it asks now must not be in one piece: `answer` looks at its beginning.
        if (said.offset < this.live && this.live < said.offset + said.bytes.length) {
          this.#show(said.bytes.subarray(0, this.live - said.offset));
          this.#show(said.bytes.subarray(this.live - said.offset));
        } else {
          this.#show(said.bytes);
        }
        break;
      case "gap":
        this.#clear(said.offset);
        break;
      case "lead":
        this.leads = said.leads;
        this.screen.lead(said.leads);
        break;
      case "pong":
        this.taken = said.number;
        if (this.typed > this.asked) {
          this.#ping();
        }
        break;
      case "size":
        this.screen.resize(said.cols, said.rows);
        break;
      case "exit":
        this.isOver = true;
        this.screen.exit(said.status);
        break;
    }
  }

  /** @param {{from: number, live: number, cols: number, rows: number, isReset: boolean}} start */
  #start({from, live, cols, rows, isReset}) {
    clearTimeout(this.timers.open);
    this.attempt = 0;
    this.live = isReset ? live : Math.max(this.live, from);     // what was missed is new here: nobody else answered it, or who led did
    const isFirst = this.received === null;
    if (isReset || isFirst) {
      if (!isFirst || this.epoch > 0) {
        this.screen.clear();
      }
      this.#begin(from);
    }
    this.present = live;
    this.acked = Math.min(this.acked, from);
    this.isStarted = true;
    this.screen.resize(cols, rows);
    this.#ack();
    this.#settle();
  }

  /** @param {number} offset */
  #begin(offset) {
    this.epoch++;
    this.received = this.shown = this.acked = offset;
  }

  /** @param {number} offset */
  #clear(offset) {
    this.screen.clear();
    this.#begin(offset);
    this.#settle();
  }

  /** @param {Uint8Array} bytes */
  #show(bytes) {
    const {epoch} = this;
    this.received = /** @type {number} */ (this.received) + bytes.length;
    const end = this.received;
    this.screen.write(bytes, () => {
      if (epoch === this.epoch) {
        this.shown = end;
        this.#settle();
        if (end - this.acked >= ACK_BYTES || end === this.received) {
          this.#ack();
        }
      }
    });
  }

  #ack() {
    if (this.isStarted && this.shown > this.acked) {
      this.acked = this.shown;
      this.#say(ack(this.shown));
    }
  }
}
