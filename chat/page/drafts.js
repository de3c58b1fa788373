// What was begun and not sent, by conversation; it survives a reload.

export class Drafts {
  /** @param {number} me @param {Storage} storage */
  constructor(me, storage) {
    this.prefix = `hotpath-chat/draft/${me}/`;
    this.storage = storage;
  }

  /** @param {number} channel @param {number | null} root @returns {string} */
  get(channel, root = null) {
    return this.storage.getItem(this.#key(channel, root)) ?? "";
  }

  /** @param {number} channel @param {number | null} root @param {string} text */
  set(channel, root, text) {
    try {
      if (text.trim()) {
        this.storage.setItem(this.#key(channel, root), text);
      } else {
        this.storage.removeItem(this.#key(channel, root));
      }
    } catch {
      // Full: the draft lives as long as the page.
    }
  }

  /** Nobody else who uses this browser shall find them. */
  clear() {
    Object.keys(this.storage).filter((key) => key.startsWith(this.prefix)).forEach((key) => this.storage.removeItem(key));
  }

  /** @param {number} channel @param {number | null} root */
  #key(channel, root) {
    return `${this.prefix}${channel}${root === null ? "" : `.${root}`}`;
  }
}
