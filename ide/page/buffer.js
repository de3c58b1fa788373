// One open file: what is typed, what the disk has, and how they meet. Every write is compare-and-swap.

import {Failure} from "./api.js";
import {shown} from "./base.js";

const AFTER_KEY_MS = 400;
const AT_MOST_MS = 2000;
const DRAFT_MS = 120;
const RETRY_MS = [1000, 2000, 4000, 8000, 15_000];

/**
 * @typedef {"Saved" | "Saving" | "Offline" | "Conflict"} Status
 * @typedef {{text: string, etag: string | null}} Version     etag null: the file is gone
 * @typedef {{api: import("./api.js").ProjectApi, drafts: import("./drafts.js").Drafts, changed: (buffer: Buffer) => void,
 *   apply: (buffer: Buffer, changes: import("./changes.js").Change[]) => void, trouble: (buffer: Buffer, error: Error) => void}} Ways
 */

/** @param {Uint8Array} bytes @returns {string | null} null: that is no text */
export function textOf(bytes) {
  if (bytes.subarray(0, 8000).includes(0)) {
    return null;
  }
  try {
    return new TextDecoder("utf-8", {fatal: true, ignoreBOM: true}).decode(bytes);
  } catch {
    return null;
  }
}

const encoder = new TextEncoder();

/** Needed first when the disk has something else. @param {string} old @param {string} fresh */
const changesBetween = async (old, fresh) => (await import("./changes.js")).changesBetween(old, fresh);

export class Buffer {
  /** @param {string} href @param {Ways} ways @param {Version} version as the disk has it */
  constructor(href, ways, {text, etag}) {
    this.href = href;
    this.ways = ways;
    this.etag = etag;
    this.base = text;                       // the text of `etag`
    // CRLF only where every line ends so; otherwise a lone CR is a character like others.
    this.lineBreak = /\r\n/.test(text) && !/(^|[^\r])\n|\r(?!\n)/.test(text) ? "\r\n" : "\n";
    /** @type {any} the editor's state; set by the editor */
    this.state = null;
    this.version = 0;                       // counts what is typed
    this.savedVersion = 0;
    /** @type {Status} */
    this.status = "Saved";
    this.reason = "";                       // why it is not saved
    /** @type {Version | null} what the disk has, when both sides changed */
    this.theirs = null;
    this.isGone = false;
    this.isMoving = false;
    this.isKept = true;                     // what is unsaved would live through a reload
    /** @type {Promise<void> | null} */
    this.saving = null;
    /** @type {string | null} what was sent last: if its answer was lost, the disk may have it */
    this.sent = null;
    this.isDiskDue = false;
    this.isClosed = false;
    this.failures = 0;
    this.timer = 0;
    this.draftTimer = 0;
    this.firstKey_ms = 0;
  }

  get path() {
    return shown(this.href);
  }

  get isDirty() {
    return this.version !== this.savedVersion;
  }

  /** @returns {string} as it goes to the disk */
  get text() {
    const {doc} = this.state;
    return doc.sliceString(0, doc.length, this.lineBreak);
  }

  /** @param {Status} status */
  become(status, reason = "") {
    this.status = status;
    this.reason = reason;
    this.ways.changed(this);
  }

  /** Somebody typed. */
  edited() {
    const wasDirty = this.isDirty;
    this.version++;
    clearTimeout(this.draftTimer);
    this.draftTimer = setTimeout(() => this.keepDraft(), DRAFT_MS);
    if (!wasDirty) {
      this.firstKey_ms = performance.now();
    }
    if (this.status !== "Conflict") {
      this.saveIn(Math.max(0, Math.min(AFTER_KEY_MS, this.firstKey_ms + AT_MOST_MS - performance.now())));
      if (this.status !== "Offline" && !wasDirty) {
        this.become("Saving");
      }
    }
  }

  /** @param {number} ms */
  saveIn(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), ms);
  }

  keepDraft() {
    clearTimeout(this.draftTimer);
    if (this.isDirty && this.state) {
      this.isKept = this.ways.drafts.keep(this.href, {text: this.text, base: this.base, etag: this.etag});
    }
  }

  /** What is typed goes to the disk now. @returns {Promise<void>} when it is there, or said why not */
  async save() {
    clearTimeout(this.timer);
    if (!this.isDirty || this.status === "Conflict" || this.isClosed) {
      return;
    }
    this.saving ??= this.put().finally(() => {
      this.saving = null;
      if (this.isDiskDue) {
        this.isDiskDue = false;
        this.look();
      }
    });
    await this.saving;
  }

  async put() {
    while (this.isDirty && !this.isClosed) {
      const {version} = this;
      const text = this.text;
      this.sent = text;
      if (this.status !== "Offline") {
        this.become("Saving");
      }
      try {
        this.settle({text, etag: await this.ways.api.save(this.href, encoder.encode(text), this.etag)}, version);
      } catch (error) {
        const failure = /** @type {Failure} */ (error);
        if (failure.status === 412 || failure.status === 409) {
          if (!await this.meet()) {
            return;
          }
        } else {
          this.failed(failure);
          return;
        }
      }
    }
  }

  /** The disk has that. @param {Version} version @param {number} typed what was typed until then */
  settle({text, etag}, typed) {
    this.etag = etag;
    this.base = text;
    this.savedVersion = typed;
    this.isGone = false;
    this.theirs = null;
    this.failures = 0;
    this.firstKey_ms = performance.now();
    if (this.isDirty) {
      this.keepDraft();
      this.become("Saving");
    } else {
      clearTimeout(this.draftTimer);
      this.ways.drafts.drop(this.href);
      this.isKept = true;
      this.become("Saved");
    }
  }

  /** @param {Failure} failure */
  failed(failure) {
    const isNews = this.reason !== failure.message;
    this.become("Offline", failure.message);
    if (!failure.isPassing && isNews) {
      this.ways.trouble(this, failure);
    }
    this.keepDraft();
    this.saveIn(RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)]);
  }

  /** @returns {Promise<Version | null>} what the disk has; null: still what we know; a Failure is thrown */
  async onDisk() {
    try {
      const found = await this.ways.api.read(this.href, this.etag ?? "");
      return found && {text: textOf(found.bytes) ?? "", etag: found.etag};
    } catch (error) {
      if (/** @type {Failure} */ (error).status === 404) {
        return {text: "", etag: null};
      }
      throw error;
    }
  }

  /** Our write was refused, the disk has something else. @returns {Promise<boolean>} whether to try again */
  async meet() {
    let theirs;
    try {
      theirs = await this.onDisk();
    } catch (error) {
      this.failed(/** @type {Failure} */ (error));
      return false;
    }
    return this.against(theirs ?? {text: this.base, etag: this.etag});
  }

  /** @param {Version} theirs @returns {boolean} whether ours may be written over it */
  against(theirs) {
    const {text} = this;
    if (theirs.etag === null) {
      // It was deleted meanwhile: what is typed makes it again.
      this.etag = null;
      this.isGone = true;
      return true;
    }
    if (theirs.text === text) {
      this.settle(theirs, this.version);
      return false;
    }
    if (theirs.text === this.sent || theirs.text === this.base) {
      this.etag = theirs.etag;
      this.base = theirs.text;
      return true;
    }
    this.theirs = theirs;
    clearTimeout(this.timer);
    this.become("Conflict", "The file was changed elsewhere.");
    this.keepDraft();
    return false;
  }

  /** The disk says that it changed. @param {string | null} [etag] if known */
  disk(etag = null) {
    if (this.isMoving || etag !== null && etag === this.etag) {
      return;
    }
    if (this.saving) {
      this.isDiskDue = true;
    } else {
      this.look();
    }
  }

  /** Follow the disk where nothing unsaved would be lost. */
  async look() {
    let theirs;
    const {etag} = this;
    try {
      theirs = await this.onDisk();
    } catch {
      return;                   // the next save or the next event asks again
    }
    if (this.isClosed || this.isMoving) {
      return;
    }
    if (this.saving || this.etag !== etag) {
      this.isDiskDue = this.saving !== null;
      return;
    }
    if (theirs === null) {
      if (this.isGone) {
        this.isGone = false;
        this.ways.changed(this);
      }
    } else if (this.status === "Conflict") {
      this.theirs = theirs;
      this.ways.changed(this);
    } else if (this.isDirty) {
      if (this.against(theirs)) {
        this.saveIn(0);
      }
    } else if (theirs.etag === null) {
      this.isGone = true;
      this.etag = null;
      this.ways.changed(this);
    } else {
      await this.follow(theirs);
    }
  }

  /** @param {Version} theirs */
  async follow(theirs) {
    const {version} = this;
    const old = this.state.doc.toString();
    const changes = await changesBetween(old, theirs.text.replaceAll(this.lineBreak, "\n"));
    if (this.version !== version || this.state.doc.toString() !== old) {
      this.look();              // somebody typed meanwhile
      return;
    }
    this.ways.apply(this, changes);
    this.settle(theirs, this.version);
  }

  /** End the conflict with that text. @param {string} text with \n @param {Version} theirs the disk's, as it was shown */
  async resolve(text, theirs) {
    const changes = await changesBetween(this.state.doc.toString(), text);
    this.ways.apply(this, changes);
    this.etag = theirs.etag;
    this.base = theirs.text;
    this.theirs = null;
    this.version++;
    this.become("Saving");
    if (this.text === theirs.text && theirs.etag !== null) {
      this.settle(theirs, this.version);
    } else {
      await this.save();
    }
  }

  /** It is called otherwise now. @param {string} href */
  moved(href) {
    this.ways.drafts.drop(this.href);
    this.href = href;
    this.isGone = false;
    this.keepDraft();
    this.ways.changed(this);
  }

  /** Nobody looks at it any more; what is unsaved must be saved or given up before. */
  close() {
    this.isClosed = true;
    clearTimeout(this.timer);
    clearTimeout(this.draftTimer);
  }
}
