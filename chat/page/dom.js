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
 * Set text only when it changed: screen readers announce every write to a live region.
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
 * Make the children of `parent` these, in this order. Those that stay are not moved when they need not be, so they
 * keep the focus.
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

/** @param {string} name of a symbol in index.html @returns {SVGElement} */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** At most once a frame. @param {() => void} draw @returns {() => void} */
export function oncePerFrame(draw) {
  let isDue = false;
  return () => {
    if (!isDue) {
      isDue = true;
      // A hidden tab draws no frames, but its title and badges must still count.
      const later = document.hidden ? (/** @type {() => void} */ fn) => setTimeout(fn, 50) : requestAnimationFrame;
      later(() => {
        isDue = false;
        draw();
      });
    }
  };
}
