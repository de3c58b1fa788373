// The terminal's sixteen colours, light and dark, each readable on its ground, which is the --card of kit/theme.css.

import {isDark} from "./kit/theme.js";

const LIGHT = {
  background: "#ffffff", foreground: "#1c1b1a", cursor: "#b93a08", cursorAccent: "#ffffff", selectionBackground: "#f6d9c7", selectionInactiveBackground: "#ece4dc",
  black: "#1c1b1a", red: "#ab1f18", green: "#176338", yellow: "#7a5200", blue: "#17508f", magenta: "#7b2f87", cyan: "#0b5f6e", white: "#6b6660",
  brightBlack: "#5a5651", brightRed: "#c42b22", brightGreen: "#1d7a45", brightYellow: "#8a5d00", brightBlue: "#1d63b3", brightMagenta: "#933ba1", brightCyan: "#0c7284", brightWhite: "#3d3a37",
};
const DARK = {
  background: "#211f1d", foreground: "#edeae6", cursor: "#ff9466", cursorAccent: "#211f1d", selectionBackground: "#573524", selectionInactiveBackground: "#38322c",
  black: "#4a453f", red: "#ff8f86", green: "#74d49b", yellow: "#e8bd6a", blue: "#93bdf2", magenta: "#dba2ee", cyan: "#7cc7dd", white: "#d8d3cd",
  brightBlack: "#968f87", brightRed: "#ffb0a9", brightGreen: "#9be8ba", brightYellow: "#f6d695", brightBlue: "#b8d5fa", brightMagenta: "#e9c3f6", brightCyan: "#a5e0f0", brightWhite: "#ffffff",
};

/** @returns {typeof LIGHT} xterm's ITheme */
export const palette = () => isDark() ? DARK : LIGHT;
