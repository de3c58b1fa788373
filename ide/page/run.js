// Run and Stop: the project's own command, in a console of its own.

import {h, icon} from "./dom.js";
import {complain} from "./notes.js";

export class Run {
  /** @param {import("./project.js").ProjectPage} page */
  constructor(page) {
    this.page = page;
    this.button = h("button", {type: "button", class: "go", title: "Run (Ctrl Enter)", onclick: () => this.start()}, icon("play"), "Run");
    this.stopper = h("button", {type: "button", class: "halt", hidden: true, onclick: () => this.stop()}, icon("stop"), "Stop");
    this.root = h("div", {class: "runner"}, this.button, this.stopper);
    this.isStarting = false;
  }

  get isRunning() {
    return this.page.terminals?.latest("run")?.info.alive === true;
  }

  draw() {
    const hadFocus = this.root.contains(document.activeElement);
    const {isRunning} = this;
    this.stopper.hidden = !isRunning;
    this.button.hidden = isRunning;
    this.button.disabled = this.isStarting;
    if (hadFocus && document.activeElement === document.body) {
      (isRunning ? this.stopper : this.button).focus();
    }
  }

  /** @param {string} [command] other than the project's */
  async start(command) {
    const {page} = this;
    if (!command && !page.project.run) {
      (await import("./asking.js")).askCommand(page);
      return;
    }
    this.isStarting = true;
    this.draw();
    try {
      await page.files.saveAll();
      if (page.project.state !== "running") {
        await page.become("start");
      }
      if (page.project.state === "running") {       // otherwise it was said why not
        page.layout.reveal("terminal");
        page.ports.isAwaited = true;
        page.terminals.began(await page.api.tell("/run", "POST", {...command ? {command} : {}, ...page.terminals.size}));
      }
    } catch (error) {
      complain(error);
    }
    this.isStarting = false;
    this.draw();
  }

  async stop() {
    const run = this.page.terminals.latest("run");
    if (run) {
      run.isKept = true;          // what it said stays, though the server forgets it
      await this.page.api.tell(`/terminals/${run.info.id}`, "DELETE").catch(complain);
    }
    this.draw();
  }
}
