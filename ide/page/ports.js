// The ports on which the program listens, as the server finds them. The pane that shows them is loaded when it is needed.

import {mark, write} from "./kit/dom.js";
import {announce, h} from "./dom.js";
import {note} from "./notes.js";

/** @typedef {{port: number, url: string, process: string}} Port */

export class Ports {
  /** @param {import("./project.js").ProjectPage} page */
  constructor(page) {
    this.page = page;
    /** @type {Port[]} */
    this.list = [];
    this.isAwaited = false;         // Run was pressed: what opens next is what one wants to see
    /** @type {Promise<import("./preview.js").Preview> | null} */
    this.loading = null;
    this.badge = h("span", {class: "count", hidden: true});
    this.root = h("section", {class: "preview", role: "region", "aria-label": "Preview"});
  }

  pane() {
    this.loading ??= import("./preview.js").then(({Preview}) => new Preview(this.page, this.root));
    return this.loading;
  }

  /** @param {Port[]} list @param {boolean} isFirst they were open before the page was */
  async hear(list, isFirst = false) {
    const known = new Set(this.list.map(({port}) => port));
    const [fresh] = list.filter(({port}) => !known.has(port));
    this.list = list;
    write(this.badge, list.length ? String(list.length) : "");
    mark(this.badge, "hidden", list.length ? null : "");
    const {layout} = this.page;
    if (fresh && !isFirst) {
      announce(`Port ${fresh.port} is open`);
      if (layout.isShown("preview") || this.isAwaited && matchMedia("(min-width: 60rem)").matches) {
        await this.open(this.isAwaited ? fresh.port : 0);
      } else {
        note(`Port ${fresh.port} is open.`, {action: "Preview", act: () => this.open(fresh.port)});
      }
      this.isAwaited = false;
    }
    if (this.loading) {
      (await this.loading).hear();
    }
  }

  /** @param {number} port 0: the one that was shown, or the first */
  async open(port = 0) {
    const pane = await this.pane();
    this.page.layout.reveal("preview");
    pane.show(port);
  }

  /** @param {boolean} [wanted] */
  async toggle(wanted = !this.page.layout.isShown("preview")) {
    if (wanted) {
      await this.open();
    } else {
      this.page.layout.toggle("preview", false);
    }
  }
}
