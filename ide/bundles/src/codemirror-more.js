// What the editor can do besides, once somebody types in it: search, completion, closing brackets.

export {acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completeAnyWord, completionKeymap} from "@codemirror/autocomplete";
export {gotoLine, highlightSelectionMatches, openSearchPanel, search, searchKeymap, selectNextOccurrence} from "@codemirror/search";
