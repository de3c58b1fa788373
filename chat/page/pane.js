// The column at the right: one thing at a time, closed by Esc.

import {copyOf, write} from "../kit/dom.js";

/** @typedef {{root: Element, show: () => void, close?: () => void, title: () => string, focus?: () => void, name: string}} Content */

export class Pane {
  /** @param {HTMLElement} place @param {() => void} changed */
  constructor(place, changed) {
    this.place = place;
    this.changed = changed;
    /** @type {Content | null} */
    this.content = null;
    /** @type {Element | null} */
    this.opener = null;
    /** @type {Record<string, any>} */
    this.parts = {};
  }

  /** @param {Content} content */
  open(content) {
    this.content?.close?.();
    this.opener = this.content ? this.opener : document.activeElement;
    this.content = content;
    const {root, parts} = copyOf("pane");
    this.parts = parts;
    parts.content.append(content.root);
    parts.close.addEventListener("click", () => this.close());
    this.place.replaceChildren(root);
    this.place.hidden = false;
    this.place.setAttribute("aria-label", content.name);
    this.show();
    if (content.focus) {
      content.focus();
    } else {
      parts.title.focus();
    }
    this.changed();
  }

  close() {
    if (this.content) {
      this.content.close?.();
      this.content = null;
      this.place.hidden = true;
      this.place.replaceChildren();
      if (this.opener instanceof HTMLElement && this.opener.isConnected) {
        this.opener.focus({preventScroll: true});
      }
      this.opener = null;
      this.changed();
    }
  }

  show() {
    if (this.content) {
      write(this.parts.title, this.content.title());
      this.content.show();
    }
  }
}
