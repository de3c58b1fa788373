// Search in what the terminal has shown.

export {SearchAddon} from "@xterm/addon-search";
