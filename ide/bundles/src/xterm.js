// The terminal, what it always needs, and its style sheet. Search and the renderer on WebGL are bundles of their own.

import css from "@xterm/xterm/css/xterm.css";
import {adopted} from "./styles.js";

adopted().replaceSync(css);

export {FitAddon} from "@xterm/addon-fit";
export {Unicode11Addon} from "@xterm/addon-unicode11/src/Unicode11Addon.ts";
export {WebLinksAddon} from "@xterm/addon-web-links";
export {Terminal} from "@xterm/xterm";
