// The editor: one CodeMirror view, in which the buffers' states take turns.

import {isDark, onTheme} from "./kit/theme.js";
import {languageOf} from "./languages.js";
import {codemirror, codemirrorMore} from "./vendor.js";

/** @typedef {import("./buffer.js").Buffer} Buffer */

const HUGE = 2_000_000;         // characters: beyond it no colours

/** @param {string} text @param {string} language @returns {string} what one step of indentation is in it */
function indentOf(text, language) {
  const found = /^(\t| {2,8})\S/m.exec(text.slice(0, 50_000))?.[1];
  return found ?? (language === "go" ? "\t" : language === "python" || language === "rust" || language === "java" ? "    " : "  ");
}

export class Editor {
  /**
   * @param {any} cm the bundle @param {HTMLElement} parent
   * @param {{edited: (buffer: Buffer) => void, moved: () => void, left: () => void}} ways
   */
  constructor(cm, parent, ways) {
    this.cm = cm;
    this.ways = ways;
    this.fromDisk = cm.Annotation.define();
    this.language = new cm.Compartment();
    this.theme = new cm.Compartment();
    this.more = new cm.Compartment();
    this.label = new cm.Compartment();
    /** @type {any} search and completion, once they are loaded */
    this.extras = [];
    /** @type {Promise<any> | null} */
    this.loading = null;
    /** @type {Buffer | null} */
    this.buffer = null;
    this.view = new cm.EditorView({parent, state: cm.EditorState.create({extensions: [cm.EditorView.editable.of(false)]})});
    onTheme(() => this.buffer && this.view.dispatch({effects: this.theme.reconfigure(this.themeNow())}));
  }

  /** @param {HTMLElement} parent @param {ConstructorParameters<typeof Editor>[2]} ways */
  static async load(parent, ways) {
    return new Editor(await codemirror(), parent, ways);
  }

  themeNow() {
    return this.cm.EditorView.darkTheme.of(isDark());
  }

  /** @param {Buffer} buffer */
  labelOf({path}) {
    return this.cm.EditorView.contentAttributes.of({"aria-label": `Editor: ${path}`, "spellcheck": "false", "autocapitalize": "off", "autocorrect": "off"});
  }

  /** It is called otherwise now. @param {Buffer} buffer */
  relabel(buffer) {
    this.change(buffer, {effects: this.label.reconfigure(this.labelOf(buffer))});
  }

  /** Give a buffer its state. @param {Buffer} buffer @param {string} text */
  adopt(buffer, text) {
    const {cm} = this;
    const known = languageOf(buffer.path);
    const isHuge = text.length > HUGE;
    buffer.state = cm.EditorState.create({doc: text, extensions: [
      buffer.lineBreak === "\n" ? cm.EditorState.lineSeparator.of("\n") : [],
      cm.lineNumbers(), cm.highlightActiveLineGutter(), cm.highlightSpecialChars(), cm.history(), cm.foldGutter({openText: "⌄", closedText: "›"}), cm.drawSelection(),
      cm.dropCursor(), cm.EditorState.allowMultipleSelections.of(true), cm.indentOnInput(), cm.bracketMatching(), cm.rectangularSelection(),
      cm.crosshairCursor(), cm.highlightActiveLine(), cm.syntaxHighlighting(cm.classHighlighter),
      cm.indentUnit.of(indentOf(text, known?.name ?? "")),
      cm.keymap.of([cm.indentWithTab, ...cm.defaultKeymap, ...cm.historyKeymap, ...cm.foldKeymap]),
      this.language.of([]), this.theme.of(this.themeNow()), this.more.of(this.extras),
      this.label.of(this.labelOf(buffer)),
      ["markdown", undefined].includes(known?.name) ? cm.EditorView.lineWrapping : [],
      cm.EditorView.updateListener.of((/** @type {any} */ update) => this.updated(buffer, update)),
      cm.EditorView.domEventHandlers({focus: () => void this.loadMore().catch(() => {}), blur: () => { this.ways.left(); }}),
    ]});
    if (known && !isHuge) {
      known.load().then((support) => this.change(buffer, {effects: this.language.reconfigure(support)})).catch(() => {});
    }
  }

  /** @param {Buffer} buffer @param {any} update */
  updated(buffer, update) {
    buffer.state = update.state;
    if (update.docChanged && !update.transactions.some((/** @type {any} */ one) => one.annotation(this.fromDisk))) {
      this.ways.edited(buffer);
    }
    if (update.docChanged || update.selectionSet) {
      this.ways.moved();
    }
  }

  /** A transaction for that buffer, whether it is shown or not. @param {Buffer} buffer @param {any} spec */
  change(buffer, spec) {
    if (this.buffer === buffer) {
      this.view.dispatch(spec);
    } else {
      buffer.state = buffer.state.update(spec).state;
    }
  }

  /** What the disk says; it is not undone, and cursors stay at their text. @param {Buffer} buffer @param {import("./changes.js").Change[]} changes */
  follow(buffer, changes) {
    this.change(buffer, {changes, annotations: [this.fromDisk.of(true), this.cm.Transaction.addToHistory.of(false)]});
  }

  /** @param {Buffer} buffer @param {string} text as if it were typed */
  replace(buffer, text) {
    this.change(buffer, {changes: {from: 0, to: buffer.state.doc.length, insert: text}});
    if (this.buffer !== buffer) {
      buffer.edited();
    }
  }

  /** @param {Buffer} buffer */
  show(buffer) {
    if (this.buffer === buffer) {
      return;
    }
    this.keepPlace();
    this.buffer = buffer;
    this.view.setState(buffer.state);
    this.view.dispatch({effects: [this.theme.reconfigure(this.themeNow()), this.more.reconfigure(this.extras)]});
    this.view.scrollDOM.scrollTop = buffer.scroll ?? 0;
    this.view.requestMeasure({read: () => {}, write: () => { this.view.scrollDOM.scrollTop = buffer.scroll ?? 0; }});
  }

  keepPlace() {
    if (this.buffer) {
      this.buffer.scroll = this.view.scrollDOM.scrollTop;
    }
  }

  hide() {
    this.keepPlace();
    this.buffer = null;
  }

  /** Search, completion and closing brackets: needed once somebody is about to type. */
  loadMore() {
    this.loading ??= codemirrorMore().then((more) => {
      const {cm} = this;
      this.extras = [more.search({top: true}), more.highlightSelectionMatches(), more.autocompletion(), more.closeBrackets(),
        cm.EditorState.languageData.of(() => [{autocomplete: more.completeAnyWord}]),
        cm.Prec.high(cm.keymap.of([...more.closeBracketsKeymap, ...more.searchKeymap.filter(({key}) => key !== "Mod-g"), ...more.completionKeymap]))];
      if (this.buffer) {
        this.view.dispatch({effects: this.more.reconfigure(this.extras)});
      }
      return more;
    }).catch((error) => {
      this.loading = null;          // offline: the next focus tries again
      throw error;
    });
    return this.loading;
  }

  async find() {
    (await this.loadMore()).openSearchPanel(this.view);
  }

  async askForLine() {
    (await this.loadMore()).gotoLine(this.view);
  }

  /** @param {number} line @param {number} column from 1 @param {number} length */
  goTo(line, column = 1, length = 0) {
    const {doc} = this.view.state;
    const start = doc.line(Math.max(1, Math.min(line, doc.lines)));
    const from = Math.min(start.from + column - 1, start.to);
    this.view.dispatch({selection: {anchor: from, head: Math.min(from + length, start.to)},
      effects: this.cm.EditorView.scrollIntoView(from, {y: "center"})});
    this.view.focus();
  }

  /** @returns {{line: number, column: number, selected: number, language: string}} */
  place() {
    const {state} = this.view;
    const {main} = state.selection;
    const line = state.doc.lineAt(main.head);
    return {line: line.number, column: main.head - line.from + 1, selected: main.to - main.from,
      language: this.buffer ? languageOf(this.buffer.path)?.title ?? "Plain text" : ""};
  }

  focus() {
    this.view.focus();
  }
}
