// Where the bundles are: the only file that knows their hashes. Made by ide/bundles/build.mjs.

/** @type {Record<string, () => Promise<any>>} */
const BUNDLES = {
  "codemirror": () => import("./vendor/codemirror-YNXLFFU2.js"),
  "codemirror-more": () => import("./vendor/codemirror-more-NJ4XCKW3.js"),
  "merge": () => import("./vendor/merge-BQF6OF4S.js"),
  "xterm": () => import("./vendor/xterm-5ZMFPALE.js"),
  "xterm-search": () => import("./vendor/xterm-search-S436HSSW.js"),
  "xterm-webgl": () => import("./vendor/xterm-webgl-H2WXKIAZ.js"),
  "cpp": () => import("./vendor/cpp-LTOWDO5A.js"),
  "css": () => import("./vendor/css-HHBCZCQD.js"),
  "go": () => import("./vendor/go-YPIPVNIA.js"),
  "html": () => import("./vendor/html-ABZ4POHV.js"),
  "java": () => import("./vendor/java-6KXLUSRS.js"),
  "javascript": () => import("./vendor/javascript-KWX2GNYT.js"),
  "json": () => import("./vendor/json-Y24DCBCS.js"),
  "markdown": () => import("./vendor/markdown-GW6HXANG.js"),
  "python": () => import("./vendor/python-LQERFWHU.js"),
  "rust": () => import("./vendor/rust-2KUATUVQ.js"),
  "sql": () => import("./vendor/sql-RMI6GECH.js"),
  "yaml": () => import("./vendor/yaml-JYUIV3OL.js"),
  "shell": () => import("./vendor/shell-I6GTUCU5.js"),
};

export const {
  codemirror, "codemirror-more": codemirrorMore, merge, xterm, "xterm-search": xtermSearch, "xterm-webgl": xtermWebgl,
} = BUNDLES;

/** @param {string} name of a language @returns {Promise<any>} what its package exports */
export const language = (name) => BUNDLES[name]();
