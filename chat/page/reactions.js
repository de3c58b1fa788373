// Reactions below a message, and the box of emoji to choose one from.

import {arrange, made, mark, write} from "../kit/dom.js";

/** @typedef {import("./api.js").Message} Message */

// The first row is what people use most.
const EMOJI = ["👍", "❤️", "😂", "🎉", "😮", "😢", "🙏", "👀", "✅", "❌", "🔥", "💯", "👏", "🙌", "🤔", "🚀",
  "😀", "😅", "😍", "😎", "🥳", "😴", "🤯", "😬", "🤝", "💪", "👋", "👌", "☕", "🍕", "🐛", "⭐"];

/**
 * @param {Element} place @param {Message | null} message @param {import("./people.js").People} people
 * @param {import("./row.js").Acts} acts
 */
export function showReactions(place, message, people, acts) {
  const given = Object.entries(message?.reactions ?? {}).filter(([, users]) => users.length);
  const old = new Map([...place.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.emoji, child]));
  arrange(place, given.map(([emoji, users]) => {
    const button = old.get(emoji) ?? made("button", "", "reaction");
    const isMine = users.includes(people.me.id);
    const who = users.map((user) => user === people.me.id ? "you" : people.nameOf(user)).join(", ");
    button.type = "button";
    mark(button, "data-emoji", emoji);
    mark(button, "aria-pressed", String(isMine));
    mark(button, "title", who);
    mark(button, "aria-label", `${emoji}, ${users.length}: ${who}`);
    write(button, `${emoji} ${users.length}`);
    button.onclick = () => message && acts.react(message, emoji, !isMine);
    return button;
  }));
}

/**
 * Let somebody choose an emoji; the box stands beside `anchor`.
 * @param {Element} anchor @param {(emoji: string) => void} chosen
 */
export function pickEmoji(anchor, chosen) {
  const box = made("div", "", "picker");
  box.popover = "auto";
  mark(box, "role", "group");
  mark(box, "aria-label", "Emoji");
  for (const emoji of EMOJI) {
    const button = made("button", emoji);
    button.type = "button";
    button.addEventListener("click", () => {
      box.hidePopover();
      chosen(emoji);
    });
    box.append(button);
  }
  box.addEventListener("toggle", (/** @type {ToggleEvent} */ event) => event.newState === "closed" && box.remove());
  box.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: 8, ArrowUp: -8}[event.key];
    const place = [...box.children].indexOf(document.activeElement);
    if (step && box.children[place + step]) {
      event.preventDefault();
      box.children[place + step].focus();
    }
  });
  document.body.append(box);
  box.showPopover();
  const {left, top, bottom} = anchor.getBoundingClientRect();
  const {width, height} = box.getBoundingClientRect();
  const y = bottom + height + 8 < innerHeight ? bottom + 4 : top - height - 4;
  box.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
  box.style.top = `${Math.max(8, y)}px`;
  box.firstElementChild.focus();
}
