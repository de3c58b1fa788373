// What the program serves, in a frame. Each port has an origin of its own.

import {h, icon, iconButton} from "./dom.js";

export class Preview {
  /** @param {import("./project.js").ProjectPage} page @param {HTMLElement} root */
  constructor(page, root) {
    this.ports = page.ports;
    this.port = 0;
    this.select = h("select", {"aria-label": "Port", onchange: () => this.show(Number(this.select.value))});
    this.path = h("input", {"aria-label": "Path", value: "/", spellcheck: "false", autocomplete: "off",
      onkeydown: (/** @type {KeyboardEvent} */ event) => event.key === "Enter" && this.load()});
    /** @type {HTMLIFrameElement | null} made when there is something to show */
    this.frame = null;
    this.outside = h("a", {class: "plain", target: "_blank", rel: "noopener noreferrer", "aria-label": "Open in a tab", title: "Open in a tab"}, icon("outside"));
    this.blank = h("div", {class: "blank"}, h("p", {}, "Nothing listens yet."), h("p", {class: "soft"}, "Start a server in the project: its port appears here by itself."));
    root.append(h("div", {class: "tabbar"}, iconButton("Reload preview", "reload", () => this.load()), this.select, this.path, this.outside,
      iconButton("Close preview", "close", () => this.ports.toggle(false))), this.blank);
  }

  /** The ports are other ones. */
  hear() {
    const {list} = this.ports;
    if (list.length && !list.some(({port}) => port === this.port)) {
      this.show(list[0].port);
    }
    this.draw();
  }

  draw() {
    const {list} = this.ports;
    this.select.replaceChildren(...list.map(({port, process}) => {
      const option = h("option", {value: String(port)}, process ? `${port} ${process}` : String(port));
      option.selected = port === this.port;
      return option;
    }));
    const has = list.some(({port}) => port === this.port);
    this.select.hidden = this.path.hidden = this.outside.hidden = list.length === 0;
    if (this.frame) {
      this.frame.hidden = !has;
    }
    this.blank.hidden = has;
  }

  /** @param {number} port 0: the one that was shown, or the first */
  show(port) {
    const wanted = port || (this.ports.list.some((each) => each.port === this.port) ? this.port : this.ports.list[0]?.port ?? 0);
    if (wanted !== this.port) {
      this.port = wanted;
      this.path.value = "/";
      this.load();
    }
    this.draw();
  }

  /** @returns {string} "" while nothing listens there */
  get address() {
    const url = this.ports.list.find(({port}) => port === this.port)?.url;
    if (!url) {
      return "";
    }
    const whole = new URL(this.path.value.replace(/^\/*/, "/"), url);
    return whole.origin === new URL(url).origin ? whole.href : url;
  }

  load() {
    const {address} = this;
    if (!address) {
      return;
    }
    this.outside.href = address;
    if (this.frame) {
      this.frame.src = address;
      return;
    }
    // Its origin is another one, so what it may is safe; what it may not is to lead this page away.
    this.frame = h("iframe", {title: "Preview", src: address, allow: "clipboard-write; fullscreen",
      sandbox: "allow-scripts allow-forms allow-same-origin allow-popups allow-modals allow-downloads allow-popups-to-escape-sandbox"});
    this.blank.before(/** @type {HTMLIFrameElement} */ (this.frame));
  }
}
