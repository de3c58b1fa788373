// The terminals of a project, a tab each: shells, the program that was started, set-up.

import {arrange, mark, write} from "./kit/dom.js";
import {onTheme} from "./kit/theme.js";
import {clock} from "./clock.js";
import {announce, h, iconButton} from "./dom.js";
import {complain, note} from "./notes.js";
import {palette} from "./palette.js";
import {tabKeys} from "./tabs.js";

/** @typedef {import("./types.js").Terminal} Terminal */
/** @typedef {{info: Terminal, view: any, pane: HTMLElement, tab: HTMLElement, label: HTMLElement, dot: HTMLElement, began_ms: number | null, ended_ms: number | null, title: string, isKept: boolean}} Shown */

const NAMES = {shell: "Shell", run: "Run", setup: "Set-up"};
const SIGNALS = /** @type {Record<number, string>} */ ({1: "HUP", 2: "INT", 6: "ABRT", 9: "KILL", 11: "SEGV", 15: "TERM"});

/** Why no key does anything. @type {Record<string, string>} */
const AWAY = {connecting: "Connecting…", silent: "The server does not answer. Typing is off until it does.",
  reconnecting: "Reconnecting. Typing is off until the terminal is back."};

/** @param {number | null} exit @returns {string} */
const ending = (exit) => exit === null ? "ended" : exit < 0 ? `ended by ${SIGNALS[-exit] ? `SIG${SIGNALS[-exit]}` : `signal ${-exit}`}` : `exited with ${exit}`;

export class Terminals {
  /** @param {import("./project.js").ProjectPage} page @param {any} TerminalView */
  constructor(page, TerminalView) {
    this.page = page;
    this.TerminalView = TerminalView;
    /** @type {Map<string, Shown>} */
    this.all = new Map();
    this.active = "";
    this.asked = 0;
    this.list = h("div", {class: "tabs", role: "tablist", "aria-label": "Terminals", hidden: true, onkeydown: (/** @type {KeyboardEvent} */ event) => this.keys(event)});
    this.fact = h("span", {class: "fact"});
    this.finder = h("div", {class: "finder", hidden: true});
    this.stack = h("div", {class: "stack"});
    this.idle = h("div", {class: "blank", hidden: true});
    this.ending = iconButton("Close terminal", "close", () => this.active && this.close(this.active), {hidden: true});
    this.root = h("section", {class: "terminals", role: "region", "aria-label": "Terminal"},
      h("div", {class: "tabbar"}, this.list, iconButton("New terminal", "plus", () => this.open()), h("span", {class: "grow"}), this.fact,
        iconButton("Find in terminal", "find", () => this.find()), this.ending),
      this.finder, this.stack, this.idle);
    onTheme(() => this.all.forEach(({view}) => view.setTheme?.(palette())));
    new ResizeObserver(() => this.fit()).observe(this.stack);
    setInterval(() => this.tell(), 1000);
  }

  fit() {
    cancelAnimationFrame(this.fitting);
    this.fitting = requestAnimationFrame(() => {
      if (this.stack.clientHeight > 20 && this.stack.clientWidth > 60) {
        this.all.forEach(({view}) => view.fit());
      }
    });
  }

  /** @returns {{cols: number, rows: number}} that a new one would have */
  get size() {
    const probe = h("span", {class: "mono sr"}, "0".repeat(50));
    this.stack.append(probe);
    const width = probe.scrollWidth / 50 || 8;
    probe.remove();
    const fits = (/** @type {number} */ n, /** @type {number} */ least) => Math.max(least, Math.min(1000, Math.floor(n)));
    return {cols: fits((this.stack.clientWidth - 24) / width, 40), rows: fits(this.stack.clientHeight / 18, 8)};
  }

  /** What the server has. @param {Terminal[]} all */
  hear(all) {
    // One console of each kind is enough: of those that ended, the newest.
    const list = all.filter(({kind, alive}, place) => kind === "shell" || alive || !all.slice(place + 1).some((later) => later.kind === kind));
    for (const info of list) {
      const known = this.all.get(info.id);
      if (known) {
        known.info = info;
        if (!info.alive) {
          known.ended_ms ??= performance.now();
        }
      } else {
        this.add(info, null);
      }
    }
    const ids = new Set(list.map(({id}) => id));
    for (const [id, {isKept}] of this.all) {
      if (!ids.has(id) && !isKept) {
        this.forget(id);
      }
    }
    if (!this.all.has(this.active)) {
      const next = [...this.all.values()].find(({info}) => info.alive && info.kind === "shell") ?? [...this.all.values()].at(-1);
      this.show(next?.info.id ?? "", false);
    }
    this.draw();
  }

  /** @param {Terminal} info @param {number | null} began_ms */
  add(info, began_ms) {
    const away = h("p", {class: "away", role: "status"});
    const pane = h("div", {class: "pane"}, away);
    const label = h("span", {class: "label"});
    const dot = h("span", {class: "dot", "aria-hidden": "true"});
    const tab = h("div", {role: "tab", class: "tab", "aria-keyshortcuts": "Delete", onclick: () => this.show(info.id, true),
      onauxclick: (/** @type {MouseEvent} */ event) => event.button === 1 && this.close(info.id)}, dot, label);
    this.stack.append(pane);
    /** @type {Shown} */
    const shown = {info, pane, tab, label, dot, began_ms, ended_ms: info.alive ? null : performance.now(), title: "", isKept: false, view: null};
    this.all.set(info.id, shown);
    shown.view = new this.TerminalView({
      url: this.page.terminalAddress(info.id), element: pane, theme: palette(),
      onTitle: (/** @type {string} */ title) => { shown.title = title; this.draw(); },
      onExit: (/** @type {number} */ exit) => {
        shown.info = {...shown.info, alive: false, exit};
        shown.ended_ms ??= performance.now();
        this.draw();
        this.page.run.draw();
        if (info.kind !== "shell") {
          announce(`${NAMES[info.kind]} ${ending(exit)}`);
        }
      },
      onState: (/** @type {import("./terminal/line.js").LineState} */ state, /** @type {boolean} */ isDoubtful) => {
        mark(pane, "data-state", state);
        write(away, AWAY[state] ?? "");
        if (isDoubtful) {
          note("The connection broke while you typed: look whether it has arrived.", {isAlarm: true});
        }
      },
      onLink: (/** @type {string} */ url) => this.link(url),
    });
    shown.view.attach();
    return shown;
  }

  /** What a program printed is followed only as a web address. @param {string} url */
  link(url) {
    const port = /^https?:\/\/(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])(?::(\d+))?/.exec(url);
    if (port) {
      this.page.ports.open(Number(port[1] ?? 80));
    } else if (/^https?:\/\//.test(url)) {
      open(url, "_blank", "noopener,noreferrer");
    }
  }

  /** @param {string} [id] @param {boolean} [isFocused] */
  show(id = this.active, isFocused = true) {
    this.active = id;
    for (const [each, {pane}] of this.all) {
      pane.classList.toggle("shown", each === id);
      mark(pane, "aria-hidden", each === id ? null : "true");
      pane.inert = each !== id;
    }
    this.finder.hidden = true;
    this.draw();
    this.fit();
    if (isFocused) {
      this.page.layout.reveal("terminal");
      this.all.get(id)?.view.focus();
    }
  }

  get hasShell() {
    return [...this.all.values()].some(({info}) => info.alive && info.kind === "shell");
  }

  /** A new shell. */
  async open(isFocused = true) {
    try {
      const {state} = this.page.project;
      if (state !== "running" && state !== "starting") {
        await this.page.become("start");        // which gives a shell, or says why not
        if (isFocused && this.hasShell) {
          this.show();
        }
        return;
      }
      if (isFocused) {
        this.page.layout.reveal("terminal");
      }
      const info = await this.page.api.tell("/terminals", "POST", this.size);
      if (!this.all.has(info.id)) {
        this.add(info, performance.now());
      }
      this.show(info.id, isFocused);
    } catch (error) {
      complain(error);
    }
  }

  /** @param {string} id */
  async close(id) {
    const shown = this.all.get(id);
    if (!shown) {
      return;
    }
    const hadFocus = this.root.contains(document.activeElement);
    try {
      await this.page.api.tell(`/terminals/${id}`, "DELETE");
    } catch (error) {
      if (/** @type {any} */ (error).status !== 404) {
        complain(error);
        return;
      }
    }
    this.forget(id);
    const next = [...this.all.keys()].at(-1) ?? "";
    if (this.active === id) {
      this.show(next, hadFocus && next !== "");
    }
    this.draw();
  }

  /** @param {string} id */
  forget(id) {
    const shown = this.all.get(id);
    shown?.view.dispose();
    shown?.pane.remove();
    shown?.tab.remove();
    this.all.delete(id);
  }

  /** The newest of that kind. @param {"run" | "setup"} kind @returns {Shown | null} */
  latest(kind) {
    return [...this.all.values()].reverse().find(({info}) => info.kind === kind) ?? null;
  }

  draw() {
    let shells = 0;
    for (const [id, shown] of this.all) {
      const {info, tab, label, dot} = shown;
      const name = info.kind === "shell" ? `${NAMES.shell} ${++shells}` : NAMES[info.kind];
      write(label, name);
      tab.title = shown.title || info.title || name;
      mark(tab, "aria-selected", String(id === this.active));
      mark(tab, "tabindex", id === this.active ? "0" : "-1");
      mark(tab, "data-kind", info.kind);
      mark(dot, "data-state", info.alive ? "alive" : info.exit === 0 ? "done" : "failed");
    }
    arrange(this.list, [...this.all.values()].map(({tab}) => tab));
    this.list.hidden = this.all.size === 0;
    this.ending.hidden = this.all.size === 0;
    this.drawIdle();
    this.tell();
  }

  /** What stands in for terminals where there is none. */
  drawIdle() {
    this.idle.hidden = this.all.size > 0;
    const {state = "stopped", error = null} = this.page.project ?? {};
    mark(this.idle, "data-state", state);
    const text = {stopped: "The sandbox is stopped.", starting: "The sandbox is starting…", stopping: "The sandbox is stopping…",
      running: "No terminal is open.", failed: "The sandbox does not run."}[state];
    if (this.idle.dataset.drawn !== `${state} ${error}`) {
      this.idle.dataset.drawn = `${state} ${error}`;
      this.idle.replaceChildren(h("p", {}, text), error && state === "failed" ? h("p", {class: "trouble"}, error) : "",
        state === "stopped" || state === "failed" ? h("button", {type: "button", onclick: () => this.open()}, "Start sandbox") : "");
    }
  }

  /** How the one that is shown is going: time, and how it ended. */
  tell() {
    const shown = this.all.get(this.active);
    let text = "";
    if (shown && (shown.info.kind !== "shell" || !shown.info.alive)) {
      const end_ms = shown.ended_ms ?? performance.now();
      const time = shown.began_ms === null ? "" : clock((end_ms - shown.began_ms) / 1000);
      text = shown.info.alive ? `running ${time}` : `${ending(shown.info.exit)}${time && ` after ${time}`}`;
    }
    write(this.fact, text);
    mark(this.fact, "data-exit", shown && !shown.info.alive ? shown.info.exit === 0 ? "good" : "bad" : null);
  }

  async find() {
    const shown = this.all.get(this.active);
    if (shown) {
      (await import("./terminalfind.js")).openFinder(shown.view, this.finder);
    }
  }

  /** @param {KeyboardEvent} event */
  keys(event) {
    const go = (/** @type {string} */ id) => {
      this.show(id, false);
      this.all.get(id)?.tab.focus();
    };
    tabKeys(event, [...this.all.keys()], this.active, {go, shut: (id) => this.close(id), enter: () => this.show()});
  }

  /** For automation. @returns {{id: string, kind: string, text: () => string}[]} */
  listed() {
    return [...this.all.values()].map(({info, view}) => ({id: info.id, kind: info.kind, text: () => view.text()}));
  }

  /** An installation or a program that began from here. @param {Terminal} info */
  began(info) {
    for (const [id, {info: {kind, alive}}] of this.all) {
      if (kind === info.kind && !alive && id !== info.id) {
        this.forget(id);          // one console is enough
      }
    }
    const shown = this.all.get(info.id) ?? this.add(info, performance.now());
    shown.began_ms = performance.now();
    if (this.all.size > 20) {
      note("There are many terminals: close some.");
    }
    this.show(info.id, false);
    this.page.layout.reveal("terminal");
  }
}

