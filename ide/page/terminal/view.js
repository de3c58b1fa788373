// A terminal on the page: xterm's screen on a line to the server.

import {xterm, xtermSearch, xtermWebgl} from "../vendor.js";
import {Line} from "./line.js";

/**
 * @typedef {object} Given
 * @property {string} url                  of the socket
 * @property {HTMLElement} element         that it fills
 * @property {object} [theme]              xterm's ITheme
 * @property {(title: string) => void} [onTitle]
 * @property {(exit: number) => void} [onExit]
 * @property {import("./line.js").Screen["state"]} [onState]
 * @property {(url: string) => void} [onLink]      somebody followed it, with Ctrl or Cmd held
 */

const SCROLLBACK = 5000;
const RESET = "\x1bc";          // in order with what is written before: xterm's reset() would overtake it
const SCREEN = {scrollback: SCROLLBACK, fontSize: 13, lineHeight: 1.15, allowProposedApi: true, cursorBlink: false, macOptionIsMeta: true,
  minimumContrastRatio: 4.5, rightClickSelectsWord: false, drawBoldTextInBrightColors: false};

export class TerminalView {
  /** @param {Given} given */
  constructor({url, element, theme, onTitle = () => {}, onExit = () => {}, onState = () => {}, onLink = () => {}}) {
    this.element = element;
    this.theme = theme;
    this.told = {onTitle, onExit, onLink};
    /** @type {any} xterm's Terminal, once its bundle is here */
    this.terminal = null;
    this.isDisposed = false;
    this.isFocusWanted = false;
    this.isFromUser = false;
    this.line = new Line(url, {
      write: (bytes, shown) => this.terminal.write(bytes, shown),
      clear: () => this.terminal.write(RESET),
      resize: (cols, rows) => this.#resized(cols, rows),
      lead: (leads) => leads && this.fit(),
      exit: (status) => this.#ended(status),
      state: onState,
    });
    this.hurry = () => document.visibilityState === "visible" && this.line.hurry();
    addEventListener("online", this.hurry);
    document.addEventListener("visibilitychange", this.hurry);
    this.ready = this.#open();
  }

  /** Show the terminal, and keep showing it. */
  async attach() {
    await this.ready;
    if (!this.isDisposed) {
      this.line.attach();
    }
  }

  detach() {
    this.line.detach();
  }

  /** Be as large as the element. */
  fit() {
    const size = this.fitter?.proposeDimensions();
    if (!size || !(size.cols > 1 && size.rows > 0)) {
      return;             // not shown
    }
    this.line.resize(size.cols, size.rows);
    if (this.line.leads || !this.line.isStarted) {
      this.#resized(size.cols, size.rows);
    }
  }

  focus() {
    this.isFocusWanted = this.terminal === null;
    this.terminal?.focus();
  }

  /** @param {object} theme */
  setTheme(theme) {
    this.theme = theme;
    if (this.terminal) {
      this.terminal.options.theme = theme;
    }
  }

  /** All lines that it holds, as text. @returns {string} */
  text() {
    if (!this.terminal) {
      return "";
    }
    const {active} = this.terminal.buffer;
    const lines = [];
    for (let i = 0; i < active.length; i++) {
      const line = active.getLine(i);
      const isWrappedOn = active.getLine(i + 1)?.isWrapped;
      const text = line.translateToString(!isWrappedOn);
      if (line.isWrapped && lines.length) {
        lines[lines.length - 1] += text;
      } else {
        lines.push(text);
      }
    }
    return lines.join("\n").trimEnd();
  }

  /** Go to the next place where `text` stands. @param {string} text @param {{back?: boolean}} [options] @returns {Promise<boolean>} whether there is one */
  async search(text, {back = false} = {}) {
    await this.ready;
    if (!this.searcher) {
      const {SearchAddon} = await xtermSearch();
      this.searcher = new SearchAddon();
      this.terminal.loadAddon(this.searcher);
    }
    return back ? this.searcher.findPrevious(text) : this.searcher.findNext(text);
  }

  dispose() {
    this.isDisposed = true;
    removeEventListener("online", this.hurry);
    document.removeEventListener("visibilitychange", this.hurry);
    this.line.detach();
    this.terminal?.dispose();
  }

  async #open() {
    const {Terminal, FitAddon, WebLinksAddon, Unicode11Addon} = await xterm();
    if (this.isDisposed) {
      return;
    }
    const follow = (/** @type {MouseEvent} */ event, /** @type {string} */ url) => (event.ctrlKey || event.metaKey) && this.told.onLink(url);
    const fontFamily = getComputedStyle(document.documentElement).getPropertyValue("--code").trim() || "monospace";
    const terminal = this.terminal = new Terminal({...SCREEN, theme: this.theme, fontFamily, linkHandler: {activate: follow}});
    this.fitter = new FitAddon();
    terminal.loadAddon(this.fitter);
    terminal.loadAddon(new WebLinksAddon(follow));
    terminal.loadAddon(new Unicode11Addon());
    terminal.unicode.activeVersion = "11";
    terminal.attachCustomKeyEventHandler((/** @type {KeyboardEvent} */ event) => this.#isForProgram(event));
    // xterm tells typing and its own answers by one event. Before typing it says so, but only to its own parts.
    const isTold = terminal._core?.coreService?.onUserInput?.(() => { this.isFromUser = true; }) !== undefined;
    terminal.onData((/** @type {string} */ data) => {
      if (this.isFromUser || !isTold) {
        this.line.type(data);
      } else {
        this.line.answer(data);
      }
      this.isFromUser = false;
    });
    terminal.onBinary((/** @type {string} */ data) => this.line.type(Uint8Array.from(data, (sign) => sign.charCodeAt(0))));
    terminal.onTitleChange((/** @type {string} */ title) => this.told.onTitle(title));
    terminal.open(this.element);
    this.fit();
    if (this.isFocusWanted) {
      this.focus();
    }
    this.#paintFaster();
  }

  /** By the graphics card where there is one; a browser that would only pretend is faster without. */
  async #paintFaster() {
    try {
      if (document.createElement("canvas").getContext("webgl2", {failIfMajorPerformanceCaveat: true})) {
        const {WebglAddon} = await xtermWebgl();
        if (this.isDisposed) {
          return;
        }
        const addon = new WebglAddon();
        addon.onContextLoss(() => addon.dispose());
        this.terminal.loadAddon(addon);
      }
    } catch (error) {
      console.warn("terminal: painted without the graphics card", error);
    }
  }

  /** Which keys the program gets. Copying has its own, because Ctrl-C is taken; F6 and Ctrl-F6 lead out, because Tab does not. @param {KeyboardEvent} event */
  #isForProgram(event) {
    if (event.type !== "keydown") {
      return true;
    }
    const key = event.key.toLowerCase();
    if (event.ctrlKey && event.shiftKey && key === "c" && this.terminal.hasSelection()) {
      event.preventDefault();
      navigator.clipboard?.writeText(this.terminal.getSelection());
      return false;
    }
    return !(event.ctrlKey && event.shiftKey && key === "v") && event.key !== "F6";
  }

  /** @param {number} cols @param {number} rows */
  #resized(cols, rows) {
    if (this.terminal && (cols !== this.terminal.cols || rows !== this.terminal.rows)) {
      this.terminal.resize(cols, rows);
    }
  }

  /** @param {number} status */
  #ended(status) {
    this.terminal.write("\x1b[?25l", () => this.told.onExit(status));
    this.terminal.options.disableStdin = true;
  }
}
