// Both sides changed a file: mine, theirs, and what comes of joining them. Nothing is lost until one says which.

import {isDark} from "./kit/theme.js";
import {h} from "./dom.js";
import {joined} from "./joining.js";
import {codemirror, merge} from "./vendor.js";

/**
 * @param {import("./buffer.js").Buffer} buffer in conflict @param {() => void} done
 */
export async function conflictView(buffer, done) {
  const [cm, {MergeView, diff}] = await Promise.all([codemirror(), merge()]);
  const found = /** @type {import("./buffer.js").Version} */ (buffer.theirs);
  const plain = (/** @type {string} */ text) => text.replaceAll("\r\n", "\n");
  const [mine, theirs] = [plain(buffer.text), plain(found.text)];
  const {text, clashes} = joined(plain(buffer.base), mine, theirs, diff);
  const extensions = [cm.lineNumbers(), cm.EditorView.lineWrapping, cm.EditorView.darkTheme.of(isDark()), cm.drawSelection()];
  const place = h("div", {class: "merge"});
  const label = (/** @type {string} */ name) => cm.EditorView.contentAttributes.of({"aria-label": name});
  const view = new MergeView({parent: place, collapseUnchanged: {margin: 3, minSize: 6}, gutter: true,
    a: {doc: theirs, extensions: [...extensions, cm.EditorState.readOnly.of(true), label("Theirs")]},
    b: {doc: text, extensions: [...extensions, cm.history(), cm.keymap.of([...cm.defaultKeymap, ...cm.historyKeymap]), label("Merged")]}});
  const choose = async (/** @type {string} */ chosen) => {
    view.destroy();
    await buffer.resolve(chosen, found);
    done();
  };
  const right = h("div", {role: "group", "aria-label": "The right side shows", class: "sides"}, ...[["Merged", text], ["Mine", mine]].map(([name, doc], place) =>
    h("button", {type: "button", class: "small", "aria-pressed": String(place === 0), onclick: (/** @type {Event} */ event) => {
      view.b.dispatch({changes: {from: 0, to: view.b.state.doc.length, insert: doc}});
      [...right.children].forEach((each) => each.setAttribute("aria-pressed", String(each === event.currentTarget)));
    }}, name)));
  const root = h("section", {class: "conflict", "aria-label": `Conflict: ${buffer.path}`},
    h("header", {}, h("div", {class: "grow"}, h("h2", {tabindex: "-1"}, `${buffer.path} was changed elsewhere`),
      h("p", {class: "soft"}, clashes ? "Both sides changed the same lines: they stand between marks in the merged text." :
        "Both sides' changes fit together: the merged text has them all.")),
    h("div", {class: "buttons"},
      h("button", {type: "button", onclick: () => choose(mine)}, "Keep mine"),
      h("button", {type: "button", onclick: () => choose(theirs)}, "Take theirs"),
      h("button", {type: "button", class: "primary", onclick: () => choose(view.b.state.doc.toString())}, "Save merged"))),
    h("div", {class: "names"}, h("h3", {}, "Theirs"), h("div", {}, h("h3", {class: "sr"}, "Merged"), right)), place);
  return {root, buffer, theirs: found, remove: () => {
    view.destroy();
    root.remove();
  }};
}
