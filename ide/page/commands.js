// All one can do, with its keys: the palette, the shortcuts' list and the keyboard read the same table.

import {at} from "./base.js";
import {palette, quickOpen} from "./switcher.js";
import {nextTheme} from "./theme.js";

/**
 * @typedef {{title: string, keys?: string, act: () => unknown, inTerminal?: boolean, isOff?: () => boolean}} Command
 *   inTerminal: its keys mean it there too, and not something for the program
 */

/** @param {import("./project.js").ProjectPage} page @returns {Command[]} */
export function commandsOf(page) {
  const {files, tree, layout, terminals, ports, run} = page;
  const asking = () => import("./asking.js");
  const pick = async (/** @type {"files" | "folder" | "zip"} */ what) => (await import("./upload.js")).pick(page, tree.here(), what);
  const hasFile = () => files.activeBuffer === null;
  const stops = () => page.project.state !== "running";
  return [
    {title: "Go to file…", keys: "Ctrl P", act: () => quickOpen(page)},
    {title: "All commands…", keys: "F1", inTerminal: true, act: () => palette(page)},
    {title: "All commands", keys: "Ctrl Shift P", inTerminal: true, act: () => palette(page)},
    {title: "Start the program", keys: "Ctrl Enter", isOff: () => run.isRunning, act: () => run.start()},
    {title: "End the program", isOff: () => !run.isRunning, act: () => run.stop()},
    {title: "Change what Run starts…", act: async () => (await asking()).askCommand(page)},
    {title: "Save now", keys: "Ctrl S", act: () => files.saveAll()},
    {title: "Find in the file", keys: "Ctrl F", isOff: hasFile, act: () => files.editor.find()},
    {title: "Go to line…", keys: "Ctrl G", isOff: hasFile, act: () => files.editor.askForLine()},
    {title: "Search in files", keys: "Ctrl Shift F", inTerminal: true, act: () => page.panel("search")},
    {title: "Files", keys: "Ctrl Shift E", inTerminal: true, act: () => { page.panel("files"); tree.focus(); }},
    {title: "Packages", act: () => page.panel("packages")},
    {title: "Backups", act: () => page.panel("backups")},
    {title: "New file…", keys: "Alt N", act: () => { page.panel("files"); tree.askNew(tree.here(), "file"); }},
    {title: "New folder…", act: () => { page.panel("files"); tree.askNew(tree.here(), "dir"); }},
    {title: "Upload files…", act: () => pick("files")},
    {title: "Upload a folder…", act: () => pick("folder")},
    {title: "Unpack a zip…", act: () => pick("zip")},
    {title: "Download the project as zip", act: () => page.download(page.api.zipAddress(""))},
    {title: "History of this file…", isOff: hasFile, act: async () => (await import("./historyview.js")).openHistory(page, files.active)},
    {title: "History of a deleted file…", act: async () => (await asking()).deletedHistory(page)},
    {title: "Close the file", keys: "Alt W", isOff: () => !files.active, act: () => files.close(files.active)},
    {title: "Next file", keys: "Alt .", act: () => files.next(1)},
    {title: "File before", keys: "Alt ,", act: () => files.next(-1)},
    {title: "Editor", keys: "Ctrl 1", act: () => { layout.reveal("editor"); files.editor.focus(); }},
    {title: "Terminal", keys: "Ctrl `", inTerminal: true, act: () => {
      if (terminals.root.contains(document.activeElement)) {
        layout.reveal("editor");
        files.editor.focus();
      } else if (terminals.all.size) {
        terminals.show();
      } else {
        terminals.open();
      }
    }},
    {title: "Another terminal", keys: "Ctrl Shift `", inTerminal: true, act: () => terminals.open()},
    {title: "Find in the terminal", act: () => { layout.reveal("terminal"); terminals.find(); }},
    {title: "Side bar", keys: "Ctrl B", act: () => layout.toggle("side")},
    {title: "Terminal pane", keys: "Ctrl J", act: () => layout.toggle("terminal")},
    {title: "Preview pane", keys: "Ctrl Shift O", inTerminal: true, act: () => ports.toggle()},
    {title: "Next region", keys: "F6", inTerminal: true, act: () => page.nextRegion(1)},
    {title: "Region before", keys: "Shift F6", inTerminal: true, act: () => page.nextRegion(-1)},
    {title: "Start the sandbox", isOff: () => !stops(), act: () => page.become("start")},
    {title: "Stop the sandbox", isOff: stops, act: () => page.become("stop")},
    {title: "Restart the sandbox", isOff: stops, act: () => page.become("restart")},
    {title: "Keep the sandbox going", act: () => page.keepGoing(!page.project.keep_running)},
    {title: "Other colours", act: nextTheme},
    {title: "Rename the project…", act: async () => (await asking()).rename(page)},
    {title: "Keyboard shortcuts", keys: "Ctrl /", act: async () => (await asking()).shortcuts(page)},
    {title: "All projects", act: () => location.assign(at(""))},
    {title: "Log out", act: async () => (await import("./session.js")).logOut()},
  ];
}

/** @param {KeyboardEvent} event @returns {string} */
function pressed(event) {
  const {key, code} = event;
  const name = code === "Backquote" ? "`" : key.length === 1 ? key.toUpperCase() : key;
  return [event.ctrlKey || event.metaKey ? "Ctrl" : "", event.altKey ? "Alt" : "", event.shiftKey ? "Shift" : "", name].filter(Boolean).join(" ");
}

/** @param {import("./project.js").ProjectPage} page @param {Command[]} commands */
export function watchKeys(page, commands) {
  const byKeys = new Map(commands.filter(({keys}) => keys).map((command) => [command.keys, command]));
  document.addEventListener("keydown", (event) => {
    const command = byKeys.get(pressed(event));
    if (!command || event.defaultPrevented || document.querySelector("dialog[open]") || event.isComposing) {
      return;
    }
    const isInTerminal = page.terminals.stack.contains(document.activeElement);
    const isInEditor = page.files.place.contains(document.activeElement);
    // The editor comments a line with Ctrl /; and it finds by its own key, once it has loaded that.
    const isEditors = command.keys === "Ctrl /" || command.keys === "Ctrl F" && page.files.editor.extras.length > 0;
    if (isInTerminal && !command.inTerminal || isInEditor && isEditors) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (!command.isOff?.()) {
      command.act();
    }
  }, {capture: true});
}
