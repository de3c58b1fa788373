// What the page uses of CodeMirror at once: the editor. The rest of it, languages and the merge view are bundles of their own.

export {defaultKeymap, history, historyField, historyKeymap, indentWithTab, redo, redoDepth, selectAll, toggleComment, undo, undoDepth} from "@codemirror/commands";
export {bracketMatching, codeFolding, foldGutter, foldKeymap, indentOnInput, indentUnit, syntaxHighlighting} from "@codemirror/language";
export {Annotation, ChangeSet, Compartment, EditorSelection, EditorState, Prec, StateEffect, StateField, Text, Transaction} from "@codemirror/state";
export {crosshairCursor, drawSelection, dropCursor, EditorView, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, keymap, lineNumbers, rectangularSelection} from "@codemirror/view";
export {classHighlighter} from "@lezer/highlight";
