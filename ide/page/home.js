// The first page: past projects, a filter, and what one does with them.

import {arrange, mark, write} from "./kit/dom.js";
import {wayHome} from "./kit/house.js";
import {ProjectApi, tell} from "./api.js";
import {at} from "./base.js";
import {field, openDialog} from "./dialog.js";
import {announce, h, icon} from "./dom.js";
import {menuButton} from "./menu.js";
import {newProject} from "./newproject.js";
import {complain, note} from "./notes.js";
import {session} from "./session.js";
import {themeButton} from "./theme.js";
import {ago, count, sizeOf} from "./words.js";

/** @typedef {import("./types.js").Project} Project */

const REFRESH_MS = 5000;

class Home {
  constructor() {
    /** @type {Project[]} */
    this.projects = [];
    /** @type {Map<string, {root: HTMLElement, draw: (project: Project) => void}>} */
    this.rows = new Map();
    /** @type {Map<string, string>} template's title by its name */
    this.titles = new Map();
    this.filter = h("input", {type: "search", placeholder: "Filter projects", "aria-label": "Filter", autocomplete: "off", spellcheck: "false",
      oninput: () => this.draw(true)});
    this.list = h("ul", {class: "projects", "aria-label": "Projects", role: "list"});
    this.empty = h("div", {class: "empty", hidden: true});
    this.trouble = h("p", {class: "trouble", role: "alert"});
    this.filterBox = h("label", {hidden: true}, this.filter);
  }

  async open() {
    const {templates} = await tell("GET", "api/templates");
    templates.forEach((/** @type {import("./types.js").Template} */ {name, title}) => this.titles.set(name, title));
    const up = h("a", {class: "up"}, h("img", {src: at("static/icon.svg"), alt: ""}));
    wayHome(up, new URL(at("")));
    document.getElementById("stage")?.replaceChildren(h("div", {class: "home"},
      h("header", {}, h("span", {class: "brand grow"}, up, "hotpath ide"), themeButton()),
      h("div", {class: "top"}, h("h1", {}, "Projects"), this.filterBox,
        h("button", {type: "button", class: "primary", onclick: () => newProject(this.projects)}, icon("plus"), "New project")),
      this.trouble, this.list, this.empty));
    await this.refresh();
    const again = async () => {
      if (!document.hidden) {
        await this.refresh();
      }
      setTimeout(again, REFRESH_MS);
    };
    setTimeout(again, REFRESH_MS);
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
    addEventListener("session", () => this.refresh());
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && document.activeElement === document.body && !this.filterBox.hidden) {
        event.preventDefault();
        this.filter.focus();
      }
    });
  }

  async refresh() {
    try {
      ({projects: this.projects} = await tell("GET", "api/projects"));
      write(this.trouble, "");
    } catch (error) {
      write(this.trouble, /** @type {Error} */ (error).message);
    }
    this.draw();
  }

  draw(isAnnounced = false) {
    const wanted = this.filter.value.trim().toLowerCase();
    const shown = this.projects.filter(({name, template}) => `${name} ${this.titles.get(template) ?? template}`.toLowerCase().includes(wanted));
    for (const project of shown) {
      const row = this.rows.get(project.id) ?? this.row(project);
      this.rows.set(project.id, row);
      row.draw(project);
    }
    arrange(this.list, shown.map(({id}) => /** @type {any} */ (this.rows.get(id)).root));
    this.filterBox.hidden = this.projects.length === 0;
    this.empty.hidden = shown.length > 0;
    if (!shown.length) {
      this.empty.replaceChildren(...this.projects.length ? [h("span", {}, "No project is called so.")] : [
        h("span", {class: "prompt", "aria-hidden": "true"}, "❯_"), h("b", {}, "Nothing here yet"),
        h("span", {}, "Make a first project from a template: a prompt is there at once.")]);
    }
    if (isAnnounced) {
      announce(count(shown.length, "project"));
    }
  }

  /** @param {Project} project */
  row(project) {
    const {id} = project;
    const link = h("a", {href: at(`p/${encodeURIComponent(id)}`)});
    const template = h("span", {class: "soft template-name"});
    const state = h("span", {class: "badge"});
    const when = h("span", {class: "soft when"});
    const size = h("span", {class: "soft size"});
    const why = h("p", {class: "why"});
    const more = h("button", {type: "button", class: "plain"}, icon("more"));
    menuButton(more, () => [
      {title: "Rename…", act: () => this.rename(id)},
      ["running", "starting"].includes(this.of(id)?.state ?? "")
        ? {title: "Stop sandbox", act: () => this.become(id, "stop")} : {title: "Start sandbox", act: () => this.become(id, "start")},
      {title: "Download as zip", act: () => location.assign(new ProjectApi(id).zipAddress(""))},
      null,
      {title: "Delete", isDanger: true, act: () => this.remove(id)},
    ]);
    const root = h("li", {}, link, template, h("span", {}, state), when, size, h("span", {class: "menu-at"}, more), why);
    return {root, draw: (/** @type {Project} */ project) => {
      write(link, project.name);
      link.title = project.name;
      write(template, this.titles.get(project.template) ?? project.template);
      write(state, project.state);
      mark(state, "data-state", project.state);
      write(when, ago(project.opened || project.created));
      when.title = project.opened;
      write(size, sizeOf(project.bytes));
      write(why, project.state === "failed" ? project.error ?? "" : "");
      why.hidden = !why.textContent;
      more.setAttribute("aria-label", `Actions for ${project.name}`);
    }};
  }

  /** @param {string} id */
  of(id) {
    return this.projects.find((project) => project.id === id);
  }

  /** @param {string} id */
  rename(id) {
    const name = field("Name", this.of(id)?.name, {required: true, maxlength: 80});
    openDialog({title: "Rename project", action: "Rename", content: [name.root], act: async () => {
      await new ProjectApi(id).tell("", "PATCH", {name: name.input.value.trim()});
      await this.refresh();
    }});
    name.input.select();
  }

  /** @param {string} id @param {"start" | "stop"} what */
  async become(id, what) {
    const done = new ProjectApi(id).become(what);
    this.refresh();
    await done.catch(complain);
    this.refresh();
  }

  /** @param {string} id */
  async remove(id) {
    const {name = ""} = this.of(id) ?? {};
    try {
      await tell("DELETE", `api/projects/${id}`);
      note(`“${name}” is in the trash.`, {action: "Undo", act: async () => {
        await tell("POST", `api/projects/${id}/undelete`).catch(complain);
        await this.refresh();
      }});
    } catch (error) {
      complain(error);
    }
    await this.refresh();
    this.filter.focus();
  }
}

try {
  await session();
  await new Home().open();
} catch (error) {
  document.getElementById("stage")?.replaceChildren(h("div", {class: "opening", role: "alert"},
    h("p", {}, /** @type {Error} */ (error).message), h("p", {}, h("button", {type: "button", onclick: () => location.reload()}, "Try again"))));
}
