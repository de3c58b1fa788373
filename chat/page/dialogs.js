// The questions the page asks: a new channel, which to join, whom to write to, a channel's settings, one's own account.

import {made} from "../kit/dom.js";
import {api} from "./api.js";
import {titleOf} from "./channels.js";
import {chooser} from "./chooser.js";
import {choice, field, openDialog, toast} from "./dialog.js";

/** @typedef {import("./app.js").App} App */
/** @typedef {import("./chat.js").Entry} Entry */

/** @param {App} app */
export function newChannel(app) {
  const name = field("Channel name", "", {required: true, maxLength: 80, autocomplete: "off"});
  const topic = field("Topic", "", {maxLength: 250, autocomplete: "off"});
  const open = choice("Public: everybody can find and join it", true, {type: "radio", name: "kind"});
  const closed = choice("Private: one is asked in", false, {type: "radio", name: "kind"});
  openDialog({
    title: "Start a channel", action: "Create", content: [name.root, topic.root, open.root, closed.root],
    act: async () => {
      const kind = open.input.checked ? "public" : "private";
      const wanted = {name: name.input.value.trim(), kind};
      const channel = await api.makeChannel(topic.input.value.trim() ? {...wanted, topic: topic.input.value.trim()} : wanted);
      app.adopt(channel);
      app.go(channel.id);
    },
  });
}

/** @param {App} app */
export async function browse(app) {
  const list = made("ul", "", "list");
  const note = made("p", "Loading…", "soft");
  const look = field("Filter", "", {type: "search", autocomplete: "off"});
  const dialog = openDialog({title: "Public channels", content: [look.root, note, list]});
  /** @type {import("./api.js").Channel[]} */
  let channels = [];
  const draw = () => {
    const wanted = look.input.value.trim().toLowerCase();
    const shown = channels.filter(({name, topic}) => `${name} ${topic ?? ""}`.toLowerCase().includes(wanted));
    note.hidden = shown.length > 0;
    note.textContent = channels.length ? "None is called so." : "There is no public channel yet. Start one!";
    list.replaceChildren(...shown.map((channel) => line(channel)));
  };
  const line = (/** @type {import("./api.js").Channel} */ channel) => {
    const item = made("li", "", "person");
    const isMine = app.chat.entries.get(channel.id)?.isMember;
    const who = made("span", "", "who");
    who.append(made("b", `# ${channel.name}`), made("span", channel.topic ? ` ${channel.topic}` : "", "soft"));
    const button = made("button", isMine ? "Open" : "Join", "small");
    button.type = "button";
    button.setAttribute("aria-label", `${isMine ? "Open" : "Join"} ${channel.name}`);
    button.addEventListener("click", async () => {
      try {
        if (!isMine) {
          await app.join(channel.id);
        }
        dialog.close();
        app.go(channel.id);
      } catch (error) {
        note.hidden = false;
        note.textContent = /** @type {Error} */ (error).message;
      }
    });
    item.append(who, button);
    return item;
  };
  look.input.addEventListener("input", draw);
  try {
    channels = (await api.channels("public")).filter(({archived}) => !archived);
    channels.sort((a, b) => a.name.localeCompare(b.name));
    draw();
  } catch (error) {
    note.textContent = /** @type {Error} */ (error).message;
  }
}

/** @param {App} app */
export function newDirect(app) {
  const choose = chooser(app.people, "With whom?", () => new Set());
  openDialog({
    title: "Start a conversation", action: "Open", content: [choose.root],
    act: async () => {
      if (!choose.chosen().size) {
        throw new Error("Tick one person or more.");
      }
      await app.openDirect([...choose.chosen()]);
    },
  });
}

/** @param {App} app @param {Entry} entry */
export function channelSettings(app, entry) {
  const {info} = entry;
  const mayChange = info.kind !== "dm" && (info.member?.role === "owner" || app.people.me.admin);
  const name = field("Channel name", info.name, {required: true, maxLength: 80, autocomplete: "off"});
  const topic = field("Topic", info.topic ?? "", {maxLength: 250, autocomplete: "off"});
  const zone = made("div", "", "danger-zone");
  const dialog = openDialog({
    title: titleOf(entry, app.people),
    content: [...mayChange ? [name.root, topic.root] : [made("p", info.topic || "No topic.", "soft")]],
    after: zone,
    ...mayChange ? {action: "Save", act: async () => {
      const change = {...name.input.value.trim() === info.name ? {} : {name: name.input.value.trim()},
        ...topic.input.value.trim() === (info.topic ?? "") ? {} : {topic: topic.input.value.trim()}};
      if (Object.keys(change).length) {
        await api.changeChannel(entry.id, change);
        app.chat.listSoon(0);
      }
    }} : {},
  });
  const order = (/** @type {string} */ label, /** @type {string} */ question, /** @type {() => Promise<unknown>} */ act) => {
    const button = made("button", label, "danger");
    button.type = "button";
    button.addEventListener("click", () => {
      dialog.close();
      openDialog({title: label, action: label, isDanger: true, content: [made("p", question)], act: async () => {
        await act();
        app.chat.listSoon(0);
      }});
    });
    zone.append(button);
  };
  if (info.kind !== "dm") {
    order("Leave", `You no longer see what is said in ${info.name}.`, () => api.leave(entry.id, app.people.me.id));
  }
  if (mayChange) {
    order(info.archived ? "Open again" : "Archive", info.archived ? "Members can write here again." :
      "It stays readable; nobody writes here any more.", () => api.changeChannel(entry.id, {archived: !info.archived}));
    order("Delete channel", `${info.name} and all that was said in it is gone for everybody.`, () => api.dropChannel(entry.id));
  }
}

const KEYS = [["Ctrl K", "jump to a channel or a person"], ["Alt ↑ ↓", "next channel; with Shift, next unread one"],
  ["↑ in an empty box", "edit what you said last"], ["↑ ↓ in the conversation", "move from row to row"],
  ["Esc", "close what is open; then, go to the latest"]];

/** @param {App} app */
export function account(app) {
  const {me} = app.people;
  const display = field("Shown as", me.display || me.name, {maxLength: 64, autocomplete: "off"});
  const old = field("Your password now", "", {type: "password", autocomplete: "current-password", maxLength: 256});
  const fresh = field("A new one", "", {type: "password", autocomplete: "new-password", maxLength: 256});
  const more = made("details");
  const box = made("div", "", "fields");
  box.append(old.root, fresh.root);
  more.append(made("summary", "Change the password"), box);
  const keys = made("details");
  const list = made("dl", "", "keys");
  KEYS.forEach(([key, what]) => list.append(made("dt", key), made("dd", what)));
  keys.append(made("summary", "Keys"), list);
  const out = made("button", "Log out", "danger");
  out.type = "button";
  const zone = made("div", "", "danger-zone");
  zone.append(out);
  const dialog = openDialog({
    title: `@${me.name}`, action: "Save", content: [display.root, more, keys], after: zone,
    act: async () => {
      /** @type {Record<string, string>} */
      const change = {};
      if (display.input.value.trim() !== (me.display || me.name)) {
        change.display = display.input.value.trim();
      }
      if (fresh.input.value) {
        change.password = fresh.input.value;
        change.old_password = old.input.value;
      }
      if (Object.keys(change).length) {
        app.people.learn(await api.changeUser(me.id, change));
        toast("Saved.");
      }
    },
  });
  out.addEventListener("click", () => {
    dialog.close();
    const n = app.outbox.items.size;
    if (n) {
      openDialog({title: "Log out", action: "Log out", isDanger: true, act: () => app.logOut(),
        content: [made("p", `${n === 1 ? "One thing you wrote is" : `${n} things you wrote are`} not sent yet and would be lost.`)]});
    } else {
      app.logOut();
    }
  });
}
