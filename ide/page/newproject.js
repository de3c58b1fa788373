// The dialog that makes a project from a template.

import {tell} from "./api.js";
import {at} from "./base.js";
import {field, openDialog} from "./dialog.js";
import {h} from "./dom.js";
import {complain} from "./notes.js";

/** A name nobody has yet. @param {string} wanted @param {{name: string}[]} projects */
function freeName(wanted, projects) {
  const taken = new Set(projects.map(({name}) => name.toLowerCase()));
  for (let n = 1; ; n++) {
    const name = n === 1 ? wanted : `${wanted}-${n}`;
    if (!taken.has(name.toLowerCase())) {
      return name;
    }
  }
}

/** @param {{name: string}[]} projects that there are */
export async function newProject(projects) {
  /** @type {import("./types.js").Template[]} */
  let templates = [];
  try {
    ({templates} = await tell("GET", "api/templates"));
  } catch (error) {
    complain(error);
    return;
  }
  const first = templates.find(({available}) => available) ?? templates[0];
  const name = field("Name", freeName(first?.name ?? "project", projects), {required: true, maxlength: 80});
  let isOwnName = false;
  name.input.addEventListener("input", () => { isOwnName = true; });
  const chosen = () => group.querySelector("input:checked")?.value ?? "";
  const group = h("fieldset", {class: "templates"}, h("legend", {}, "Template"), ...templates.map((template, place) => {
    const radio = h("input", {type: "radio", name: "template", value: template.name, id: `template-${place}`, required: true,
      "aria-describedby": `template-${place}-note`, onchange: () => {
        if (!isOwnName) {
          name.input.value = freeName(template.name, projects);
        }
      }});
    radio.checked = template === first;
    const root = h("div", {class: "template", onclick: (/** @type {Event} */ event) => event.target === root && radio.click()},
      h("label", {for: radio.id}, radio, h("span", {}, template.title || template.name)),
      h("p", {id: `template-${place}-note`}, template.available ? template.run || "a shell" : template.missing || "not available here"));
    root.classList.toggle("missing", !template.available);
    return root;
  }));
  openDialog({title: "New project", action: "Create", content: [name.root, group], act: async () => {
    const project = await tell("POST", "api/projects", {name: name.input.value.trim(), template: chosen(), start: true}, 180_000);
    location.assign(at(`p/${encodeURIComponent(project.id)}`));
    await new Promise(() => {});        // until the other page is there
  }});
  name.input.select();
}
