// Elements: copies of the templates in index.html, and writes that happen only when something changed.

/** @param {string} id @returns {any} the element; the page is broken without it */
export const byId = (id) => document.getElementById(id);

/**
 * A copy of a template, and its named parts.
 * @param {string} id
 * @returns {{root: any, parts: Record<string, any>}}
 */
export function copyOf(id) {
  const root = byId(id).content.firstElementChild.cloneNode(true);
  /** @type {Record<string, any>} */
  const parts = {};
  for (const part of root.querySelectorAll("[data-part]")) {
    parts[part.dataset.part] = part;
  }
  return {root, parts};
}

/**
 * Set text only when it changed: screen readers announce every write to a status.
 * @param {Element} element @param {string} text
 */
export function write(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/**
 * Set an attribute, or take it away with null; only when it changed.
 * @param {Element} element @param {string} name @param {string | null} value
 */
export function mark(element, name, value) {
  if (value === null) {
    element.removeAttribute(name);
  } else if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

/**
 * Make the children of `parent` these, in this order. Those that stay are not moved, so they keep the focus.
 * @param {Element} parent @param {Element[]} wanted
 */
export function arrange(parent, wanted) {
  const staying = new Set(wanted);
  for (const child of [...parent.children]) {
    if (!staying.has(child)) {
      child.remove();
    }
  }
  wanted.forEach((child, place) => {
    if (parent.children[place] !== child) {
      parent.insertBefore(child, parent.children[place] ?? null);
    }
  });
}

/**
 * An element with text.
 * @param {string} tag @param {string} [text] @param {string} [className] @returns {any}
 */
export function made(tag, text = "", className = "") {
  const element = document.createElement(tag);
  if (className) {
    element.className = className;
  }
  element.textContent = text;
  return element;
}
