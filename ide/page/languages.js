// Which language is a file in? By its name.

import {language} from "./vendor.js";

/** @type {Record<string, [string, (module: any) => any]>} what is shown, and how the bundle makes it; the key names the bundle */
const LANGUAGES = {
  python: ["Python", (m) => m.python()], javascript: ["JavaScript", (m) => m.javascript({jsx: true})], json: ["JSON", (m) => m.json()],
  html: ["HTML", (m) => m.html()], css: ["CSS", (m) => m.css()], markdown: ["Markdown", (m) => m.markdown()], yaml: ["YAML", (m) => m.yaml()],
  rust: ["Rust", (m) => m.rust()], go: ["Go", (m) => m.go()], cpp: ["C/C++", (m) => m.cpp()], java: ["Java", (m) => m.java()],
  sql: ["SQL", (m) => m.sql()], shell: ["Shell", (m) => m.shell()],
  typescript: ["TypeScript", (m) => m.javascript({typescript: true})], tsx: ["TSX", (m) => m.javascript({typescript: true, jsx: true})],
};
const ENDINGS = {
  python: "py pyi pyw pyx pxd", javascript: "js mjs cjs jsx", typescript: "ts mts cts", tsx: "tsx", json: "json json5 webmanifest map ipynb",
  html: "html htm xhtml svg xml vue", css: "css", markdown: "md markdown", yaml: "yaml yml", rust: "rs", go: "go",
  cpp: "c h cc cpp cxx hh hpp hxx ino", java: "java", sql: "sql", shell: "sh bash zsh profile bashrc",
};
/** @type {Map<string, string>} */
const BY_ENDING = new Map(Object.entries(ENDINGS).flatMap(([name, endings]) =>
  endings.split(" ").map((ending) => /** @type {[string, string]} */ ([ending, name]))));

/** @param {string} path @returns {{name: string, title: string, load: () => Promise<any>} | null} null: plain text */
export function languageOf(path) {
  const name = BY_ENDING.get(path.slice(Math.max(path.lastIndexOf("."), path.lastIndexOf("/")) + 1).toLowerCase());
  if (!name) {
    return null;
  }
  const [title, make] = LANGUAGES[name];
  const bundle = name === "typescript" || name === "tsx" ? "javascript" : name;
  return {name, title, load: async () => make(await language(bundle))};
}
