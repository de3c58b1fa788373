// A project's page: the parts, put together, and what the server tells given to each.

import {mark, write} from "./kit/dom.js";
import {ProjectApi} from "./api.js";
import {at, socketAt} from "./base.js";
import {commandsOf, watchKeys} from "./commands.js";
import {announce, h, icon, iconButton} from "./dom.js";
import {Events} from "./events.js";
import {isNarrow, Layout} from "./layout.js";
import {complain, note} from "./notes.js";
import {OpenFiles} from "./openfiles.js";
import {Ports} from "./ports.js";
import {Run} from "./run.js";
import {session} from "./session.js";
import {Status} from "./status.js";
import {TerminalView} from "./terminal/view.js";
import {Terminals} from "./terminals.js";
import {themeButton} from "./theme.js";
import {Tree} from "./tree.js";
import {codemirror, xterm} from "./vendor.js";

/** @typedef {import("./types.js").Project} Project */
/** @typedef {"files" | "search" | "packages" | "backups"} Panel */

const TITLES = {files: "Files", search: "Search", packages: "Packages", backups: "Backups"};

export class ProjectPage {
  /** @param {string} id */
  constructor(id) {
    this.id = id;
    this.api = new ProjectApi(id);
    /** @type {Project} */
    this.project = /** @type {any} */ (null);
    this.root = h("div", {class: "ide"});
    this.layout = new Layout(this.root, () => this.drawRail());
    this.status = new Status(this);
    this.files = new OpenFiles(this);
    this.run = new Run(this);
    this.ports = new Ports(this);
    this.tree = new Tree(this.api, {
      open: (href, isFocused) => this.files.open(href, {isFocused}),
      menu: async (node, where) => (await this.deeds()).menu(node, where),
      rename: async (node, name) => (await this.deeds()).rename(node, name),
      create: async (folder, name, kind) => (await this.deeds()).create(folder, name, kind),
      key: (node, event) => {
        const isMeant = event.key === "F2" || event.key === "Delete" || (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && "xcv".includes(event.key.toLowerCase());
        if (isMeant) {
          this.deeds().then((deeds) => deeds.key(node, event));
        }
        return isMeant;
      },
      moved: async (from, folder, copies) => (await this.deeds()).into(from, folder, copies),
      dropped: async (transfer, folder) => {
        const {items, files} = transfer;
        // The transfer is empty after the first wait: take its entries before the import.
        const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
        (await import("./upload.js")).dropped(this, entries, [...files], folder);
      },
      complain,
    });
    this.terminals = new Terminals(this, TerminalView);
    this.commands = commandsOf(this);
    /** @type {Map<Panel, HTMLElement>} */
    this.panels = new Map();
    /** @type {Panel} */
    this.shownPanel = "files";
    this.build();
  }

  build() {
    this.name = h("h1", {ondblclick: () => this.command("Rename the project…").act()});
    this.state = h("span", {class: "badge"});
    const items = () => [
      this.command("All commands…"),
      this.command("Go to file…"),
      this.command("Keyboard shortcuts"),
      null,
      this.command(this.project.state === "running" ? "Stop the sandbox" : "Start the sandbox"),
      this.command("Restart the sandbox"),
      {title: "Keep it going", isOn: this.project.keep_running, act: () => this.keepGoing(!this.project.keep_running)},
      this.command("Change what Run starts…"),
      null,
      this.command("Packages"),
      this.command("Backups"),
      this.command("Download the project as zip"),
      this.command("Rename the project…"),
      null,
      this.command("All projects"),
      this.command("Log out"),
    ];
    const more = iconButton("More", "more", async () => (await import("./menu.js")).openMenu(items(), {anchor: more, label: "More"}),
      {"aria-haspopup": "menu", "aria-expanded": "false"});
    const rail = (/** @type {string} */ name, /** @type {string} */ sign, /** @type {() => void} */ act, /** @type {Node | null} */ extra = null) => {
      const button = h("button", {type: "button", class: "plain", "aria-label": name, title: name, onclick: act}, icon(sign), h("span", {class: "word", "aria-hidden": "true"}, name));
      if (extra) {
        button.append(extra);
      }
      return button;
    };
    const side = (/** @type {Panel} */ panel, /** @type {string} */ sign) =>
      rail(TITLES[panel], sign, () => !isNarrow.matches && this.layout.isShown("side") && this.shownPanel === panel ? this.layout.toggle("side", false) : this.panel(panel));
    this.railButtons = {
      files: side("files", "files"), search: side("search", "find"), packages: side("packages", "package"), backups: side("backups", "backup"),
      editor: rail("Editor", "file", () => { this.layout.reveal("editor"); }),
      terminal: rail("Terminal", "terminal", () => isNarrow.matches ? this.layout.reveal("terminal") : this.layout.toggle("terminal")),
      preview: rail("Preview", "window", () => this.ports.toggle(isNarrow.matches || undefined), this.ports.badge),
    };
    this.railButtons.editor.classList.add("only-narrow");
    this.railButtons.backups.classList.add("only-wide");
    this.sideTitle = h("h2", {});
    this.sideTools = h("span", {class: "tools"},
      iconButton("New file", "file-new", () => this.tree.askNew(this.tree.here(), "file")),
      iconButton("New folder", "folder-new", () => this.tree.askNew(this.tree.here(), "dir")),
      iconButton("Upload files", "upload", async () => (await import("./upload.js")).pick(this, this.tree.here(), "files")));
    this.panels.set("files", this.tree.root);
    this.sideBody = h("div", {class: "side-body"}, this.tree.root);
    this.side = h("aside", {class: "side", "aria-label": "Side bar"}, h("header", {}, this.sideTitle, this.sideTools), this.sideBody,
      this.layout.handle("side", "Width of the side bar"));
    this.center = h("div", {class: "center"}, this.files.root, this.layout.handle("terminal", "Height of the terminal"), this.terminals.root);
    this.root.append(
      h("header", {class: "head"}, h("a", {class: "plain", href: at(""), "aria-label": "Projects", title: "All projects"}, icon("home")),
        h("div", {class: "title"}, this.name, this.state), this.run.root, this.status.save, themeButton(), more),
      h("nav", {class: "rail", "aria-label": "Panels"}, ...["files", "search", "packages", "backups", "editor"].map((name) => /** @type {any} */ (this.railButtons)[name]),
        h("span", {class: "grow only-wide"}), this.railButtons.terminal, this.railButtons.preview),
      this.side,
      h("main", {class: "work"}, this.center, this.layout.handle("preview", "Width of the preview"), this.ports.root),
      this.status.root);
    this.panel("files", false);
  }

  async open() {
    this.project = await this.api.tell("");
    document.getElementById("stage")?.replaceWith(this.root);
    this.layout.draw();
    this.draw();
    watchKeys(this, this.commands);
    this.watchDrops();
    await Promise.all([this.files.start(), this.tree.reload().catch(complain)]);
    const [hasFiles, {terminals}, {ports}] = await Promise.all([this.files.restore(), this.api.tell("/terminals"), this.api.tell("/ports").catch(() => ({ports: []}))]);
    this.terminals.hear(terminals);
    this.ports.hear(ports, true);
    this.run.draw();
    this.events = new Events(this.id, (message) => this.hear(message), (isConnected) => this.status.connected(isConnected));
    if (!hasFiles) {
      this.openFirst();
    }
    if (this.project.state === "stopped" || this.project.state === "failed") {
      this.become("start").catch(() => {});
    } else {
      this.wantsShell();
    }
  }

  /** A new project shows its first file at once. */
  openFirst() {
    const names = ["main.py", "main.js", "index.html", "README.md"];
    const found = names.find((name) => this.tree.node(name)?.kind === "file");
    if (found) {
      this.files.open(found);
    }
  }

  /** A running project has a prompt. */
  async wantsShell() {
    if (this.project.state === "running" && !this.isGivenShell) {
      this.isGivenShell = true;
      if (!this.terminals.hasShell) {
        this.firstShell = this.terminals.open(false);
      }
    }
    await this.firstShell;
  }

  /** @param {any} message of the events socket */
  hear(message) {
    if (message.type === "hello") {
      this.project = message.project;
      if (this.hasMetServer) {
        // Back after a while: what was missed is replayed, and what could not be is read anew.
        this.readAgain();
      }
      this.hasMetServer = true;
      this.draw();
      this.wantsShell();
    } else if (message.type === "fs") {
      this.tree.hear(message.changes);
      this.files.hear(message.changes);
    } else if (message.type === "overflow") {
      this.readAgain();
    } else if (message.type === "state") {
      this.project = {...this.project, state: message.state, error: message.error ?? null};
      this.draw();
      announce(`The sandbox is ${message.state}`);
      this.wantsShell();
      if (message.state === "stopped" || message.state === "failed") {
        this.isGivenShell = false;
      }
    } else if (message.type === "terminals") {
      this.terminals.hear(message.terminals);
      this.run.draw();
    } else if (message.type === "ports") {
      this.ports.hear(message.ports);
    } else if (message.type === "idle") {
      this.status.idle(message.stops_in);
    } else if (message.type === "notice") {
      note(message.text, {isAlarm: true});
    }
  }

  /** Something may have been missed. */
  async readAgain() {
    this.files.lookAtAll();
    const hadShell = this.terminals.hasShell;       // one that is asked for meanwhile is not yet in what comes
    const [, {terminals}, {ports}] = await Promise.all([this.tree.reload(), this.api.tell("/terminals"), this.api.tell("/ports")])
      .catch(() => [null, {terminals: null}, {ports: null}]);
    if (terminals) {
      this.terminals.hear(terminals);
      this.ports.hear(ports, true);
      this.run.draw();
      if (hadShell && !this.terminals.hasShell) {
        // A server that began anew took up the sandbox, but no terminal of it.
        this.isGivenShell = false;
        this.wantsShell();
      }
    }
  }

  draw() {
    const {name, state, error, sandbox} = this.project;
    write(this.name, name);
    this.name.title = name;
    document.title = `${name} – hotpath ide`;
    write(this.state, state);
    mark(this.state, "data-state", state);
    this.state.title = error ?? `Sandbox: ${sandbox}`;
    this.terminals.drawIdle();
    this.run.draw();
    this.status.draw();
  }

  drawRail() {
    const marks = {...Object.fromEntries(Object.keys(TITLES).map((panel) => [panel, this.layout.isShown("side") && this.shownPanel === panel])),
      editor: this.root.dataset.at === "editor", terminal: this.layout.isShown("terminal"), preview: this.layout.isShown("preview")};
    for (const [name, isOn] of Object.entries(marks)) {
      mark(/** @type {any} */ (this.railButtons)[name], "aria-pressed", String(isOn));
    }
  }

  /** Show that panel at the side. @param {Panel} panel */
  async panel(panel, isShown = true) {
    this.shownPanel = panel;
    write(this.sideTitle, TITLES[panel]);
    this.sideTools.hidden = panel !== "files";
    if (!this.panels.has(panel)) {
      const {open} = await import(`./${panel === "search" ? "searchpanel" : panel}.js`);
      if (!this.panels.has(panel)) {
        const body = open(this);
        this.panels.set(panel, body);
        this.sideBody.append(body);
      }
    }
    for (const [each, body] of this.panels) {
      body.hidden = each !== this.shownPanel;
    }
    if (isShown) {
      this.layout.reveal("side");
      this.panels.get(panel)?.dispatchEvent(new Event("shown"));
    } else {
      this.drawRail();
    }
  }

  /** @param {"start" | "stop" | "restart"} what */
  async become(what) {
    this.project = {...this.project, state: what === "stop" ? "stopping" : "starting"};
    this.isGivenShell = false;
    this.draw();
    try {
      this.project = await this.api.become(what);
    } catch (error) {
      complain(error);
      this.project = await this.api.tell("").catch(() => this.project);
    }
    this.draw();
    if (what !== "stop") {
      await this.wantsShell();
    }
  }

  /** @param {boolean} wanted */
  async keepGoing(wanted) {
    try {
      this.project = await this.api.tell("", "PATCH", {keep_running: wanted});
      note(wanted ? "The sandbox is kept going, also when nobody uses it." : "The sandbox stops when nobody uses it.");
      this.status.draw();
    } catch (error) {
      complain(error);
    }
  }

  /** @returns {Promise<import("./deeds.js").Deeds>} */
  deeds() {
    this.loadingDeeds ??= import("./deeds.js").then(({Deeds}) => new Deeds(this));
    return this.loadingDeeds;
  }

  /** A link that is followed at once. @param {string} address */
  download(address) {
    h("a", {href: address, download: ""}).click();
  }

  /** @param {string} title @returns {any} the command that is called so, also as a menu takes it */
  command(title) {
    return this.commands.find((command) => command.title === title);
  }

  /** @param {1 | -1} step */
  nextRegion(step) {
    const {layout} = this;
    const regions = [
      {root: this.side, isShown: layout.isShown("side"), go: () => this.shownPanel === "files" ? this.tree.focus() :
        /** @type {HTMLElement | null} */ (this.sideBody.querySelector(":scope > :not([hidden]) :is(input, button)"))?.focus()},
      {root: this.files.root, isShown: this.files.active !== "" && (!isNarrow.matches || this.root.dataset.at === "editor"), go: () => this.files.editor.focus()},
      {root: this.terminals.root, isShown: layout.isShown("terminal"), go: () => this.terminals.active ? this.terminals.show() :
        /** @type {HTMLElement | null} */ (this.terminals.root.querySelector("button"))?.focus()},
      {root: this.ports.root, isShown: layout.isShown("preview"), go: () => /** @type {HTMLElement | null} */ (this.ports.root.querySelector("button"))?.focus()},
      {root: this.root.querySelector(".head"), isShown: true, go: () => /** @type {HTMLElement | null} */ (this.run.root.querySelector("button:not([hidden])"))?.focus()},
    ].filter(({isShown}) => isShown);
    const here = regions.findIndex(({root}) => root?.contains(document.activeElement));
    regions.at((here + step) % regions.length)?.go();
  }

  /** @param {string} terminal */
  terminalAddress(terminal) {
    return socketAt(`${this.api.root}/terminals/${terminal}/socket`);
  }

  /** Files may be dropped anywhere; without this the browser would open them and leave the page. */
  watchDrops() {
    for (const event of ["dragover", "drop"]) {
      addEventListener(event, (/** @type {any} */ drag) => {
        if (drag.dataTransfer?.types.includes("Files") && !drag.defaultPrevented) {
          drag.preventDefault();
          drag.dataTransfer.dropEffect = "copy";
          if (drag.type === "drop") {
            this.tree.ways.dropped(drag.dataTransfer, "");
          }
        }
      });
    }
  }
}

// Both bundles are needed: they load while the session is asked for.
codemirror().catch(() => {});
xterm().catch(() => {});
const id = decodeURIComponent(location.pathname.split("/p/").at(-1) ?? "");
try {
  await session();
  const page = new ProjectPage(id);
  /** @type {any} */ (globalThis).ide = {page, terminals: () => page.terminals.listed()};
  await page.open();
} catch (error) {
  const {status, message} = /** @type {import("./api.js").Failure} */ (error);
  document.querySelector("#stage, .ide")?.replaceWith(h("main", {class: "opening", role: "alert"},
    h("p", {}, status === 404 ? "There is no such project." : message), h("p", {}, h("a", {href: at("")}, "All projects"))));
  if (!status) {
    throw error;
  }
}
