// What is typed but not saved yet, kept in this browser across a reload.

/** @typedef {{text: string, base: string | null, etag: string | null}} Draft  base: what it was typed over */

export class Drafts {
  /** @param {string} id of the project */
  constructor(id) {
    this.prefix = `hotpath-ide/draft/${id}/`;
  }

  /** @param {string} href @param {Draft} draft @returns {boolean} whether it could be kept */
  keep(href, draft) {
    try {
      localStorage.setItem(this.prefix + href, JSON.stringify(draft));
      return true;
    } catch {
      this.drop(href);          // an older one would be worse than none
      return false;
    }
  }

  /** @param {string} href @returns {Draft | null} */
  of(href) {
    try {
      return JSON.parse(localStorage.getItem(this.prefix + href) ?? "null");
    } catch {
      return null;
    }
  }

  /** @param {string} href */
  drop(href) {
    localStorage.removeItem(this.prefix + href);
  }

  /** @returns {string[]} */
  hrefs() {
    return Object.keys(localStorage).filter((key) => key.startsWith(this.prefix)).map((key) => key.slice(this.prefix.length));
  }
}
