// A menu at a button or at the pointer: arrows, letters, Escape.

import {h, keysHere} from "./dom.js";

/** @typedef {{title: string, act: () => unknown, keys?: string, isOff?: () => boolean, isDanger?: boolean, isOn?: boolean} | null} Item  null: a line between */

/** @param {(Item | false)[]} items @param {{anchor?: Element, x?: number, y?: number, label: string}} where */
export function openMenu(items, {anchor, x, y, label}) {
  document.querySelector(".menu")?.dispatchEvent(new Event("leave"));
  const opener = /** @type {HTMLElement | null} */ (document.activeElement);
  const root = h("div", {class: "menu", role: "menu", "aria-label": label, tabindex: "-1"});
  const leave = (/** @type {boolean} */ goesBack) => {
    removeEventListener("pointerdown", outside, true);
    root.remove();
    anchor?.setAttribute("aria-expanded", "false");
    if (goesBack && opener?.isConnected) {
      opener.focus({preventScroll: true});
    }
  };
  const outside = (/** @type {Event} */ event) => !root.contains(/** @type {Node} */ (event.target)) && leave(false);
  for (const item of items) {
    if (item === null) {
      root.append(h("hr", {role: "separator"}));
    } else if (item) {
      root.append(h("button", {
        type: "button", role: item.isOn === undefined ? "menuitem" : "menuitemcheckbox", tabindex: "-1",
        class: item.isDanger ? "danger" : null, "aria-disabled": item.isOff?.() ? "true" : null,
        "aria-checked": item.isOn === undefined ? null : String(item.isOn),
        onclick: () => {
          if (!item.isOff?.()) {
            leave(true);
            item.act();
          }
        },
      }, h("span", {}, item.title), item.keys ? h("kbd", {"aria-hidden": "true"}, keysHere(item.keys)) : null));
    }
  }
  const all = () => /** @type {HTMLElement[]} */ ([...root.querySelectorAll("button")]);
  root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const items = all();
    const here = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = {ArrowDown: here + 1, ArrowUp: here < 0 ? -1 : here - 1, Home: 0, End: -1}[event.key];
    if (to !== undefined) {
      items.at(to % items.length)?.focus();
    } else if (event.key === "Escape" || event.key === "Tab") {
      leave(true);
    } else if (event.key.length === 1 && event.key !== " " && !event.ctrlKey) {
      const letter = event.key.toLowerCase();
      [...items.slice(here + 1), ...items].find((item) => item.textContent?.toLowerCase().startsWith(letter))?.focus();
      event.preventDefault();
      event.stopPropagation();
      return;
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
  root.addEventListener("leave", () => leave(false));
  root.addEventListener("contextmenu", (/** @type {Event} */ event) => event.preventDefault());
  // Inside a landmark, as all that is said must be.
  ((anchor ?? opener)?.closest("main, header, nav, aside, footer, dialog") ?? document.body).append(root);
  anchor?.setAttribute("aria-expanded", "true");
  const box = anchor?.getBoundingClientRect() ?? new DOMRect(x, y, 0, 0);
  const {width, height} = root.getBoundingClientRect();
  const left = anchor && box.right > innerWidth / 2 ? box.right - width : box.left;
  root.style.left = `${Math.max(4, Math.min(left, innerWidth - width - 4))}px`;
  root.style.top = `${box.bottom + height + 4 > innerHeight ? Math.max(4, box.top - height) : box.bottom}px`;
  addEventListener("pointerdown", outside, true);
  all()[0]?.focus();
}

/** A button that opens a menu. @param {HTMLButtonElement} button @param {() => (Item | false)[]} items */
export function menuButton(button, items) {
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => openMenu(items(), {anchor: button, label: button.getAttribute("aria-label") ?? button.textContent ?? ""}));
  return button;
}
