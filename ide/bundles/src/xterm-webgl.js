// The terminal's renderer on WebGL.

export {WebglAddon} from "@xterm/addon-webgl";
