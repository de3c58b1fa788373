// Shell scripts, by the mode that CodeMirror 5 had for them.

import {StreamLanguage} from "@codemirror/language";
import {shell as mode} from "@codemirror/legacy-modes/mode/shell";

export const shell = () => StreamLanguage.define(mode);
