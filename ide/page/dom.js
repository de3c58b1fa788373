// Elements made in one expression, and what is said of them.

/**
 * An element. `on…` are listeners, null and false leave an attribute out; strings become text, never markup.
 * @param {string} tag @param {Record<string, any>} [attributes] @param {...(Node | string | null | false | undefined)} children
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (value !== null && value !== false && value !== undefined) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(.../** @type {(Node | string)[]} */ (children.filter((child) => child !== null && child !== false && child !== undefined)));
  return element;
}

const SPRITE = new URL("icons.svg", import.meta.url);

/** @param {string} name of a symbol in icons.svg @returns {SVGElement} */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `${SPRITE}#${name}`);
  svg.append(use);
  return svg;
}

/**
 * A button that shows only an icon.
 * @param {string} name what it does @param {string} sign @param {(event: Event) => void} act @param {Record<string, any>} [more]
 */
export const iconButton = (name, sign, act, more = {}) =>
  h("button", {type: "button", class: "plain", "aria-label": name, title: name, onclick: act, ...more}, icon(sign));

const announcer = h("div", {class: "sr", "aria-live": "polite", id: "announcer"});

/** Said by screen readers. @param {string} text */
export function announce(text) {
  if (!announcer.isConnected) {
    document.body.append(announcer);
  }
  // The same words again are said again.
  announcer.textContent = announcer.textContent === text ? `${text}\u00a0` : text;
}

const isMac = /Mac|iP/.test(navigator.platform);

/** @param {string} keys @returns {string} as they are called on this machine */
export const keysHere = (keys) => isMac ? keys.replaceAll("Ctrl", "⌘").replaceAll("Alt", "⌥").replaceAll("Shift", "⇧") : keys;
