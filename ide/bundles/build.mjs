// Makes ide/page/vendor and ide/page/vendor.js: npm ci --ignore-scripts && node build.mjs
// With a FOLDER in place of ../page, to compare: without the .gz files, which take their time.

import {mkdirSync, readFileSync, rmSync, writeFileSync} from "node:fs";
import {basename, dirname, join, resolve} from "node:path";
import {fileURLToPath} from "node:url";
import zopfli from "@gfx/zopfli";
import {build} from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const page = resolve(process.argv[2] ?? join(here, "..", "page"));
const vendor = join(page, "vendor");

// Name of the bundle: what it is made of. One that is only a package has all its exports.
const BUNDLES = {
  "codemirror": "./src/codemirror.js", "codemirror-more": "./src/codemirror-more.js", "merge": "./src/merge.js",
  "xterm": "./src/xterm.js", "xterm-search": "./src/xterm-search.js", "xterm-webgl": "./src/xterm-webgl.js",
  "cpp": "@codemirror/lang-cpp", "css": "@codemirror/lang-css", "go": "@codemirror/lang-go", "html": "@codemirror/lang-html",
  "java": "@codemirror/lang-java", "javascript": "@codemirror/lang-javascript", "json": "@codemirror/lang-json",
  "markdown": "@codemirror/lang-markdown", "python": "@codemirror/lang-python", "rust": "@codemirror/lang-rust",
  "sql": "@codemirror/lang-sql", "yaml": "@codemirror/lang-yaml", "shell": "./src/shell.js",
};

// Both libraries write <style> elements and style attributes, which `style-src 'self'` forbids. Constructed sheets and
// the style property are allowed. Each pair must be found that often, so an update that changes the place fails here.
const PATCHES = {
  "style-mod/src/style-mod.js": [[1, "!root.head && root.adoptedStyleSheets", "root.adoptedStyleSheets"]],
  "@xterm/xterm/lib/xterm.mjs": [
    [1, 'n.mainDocument.createElement("style")', "styleElement()"],
    [2, 'this._document.createElement("style")', "styleElement()"],
    [1, 't.setAttribute("style",`${t.getAttribute("style")||""}${e};`)', "t.style.cssText+=`${e};`"],
  ],
};

const patching = {
  name: "patching",
  setup({onLoad, onResolve}) {
    onResolve({filter: /^common\/services\/UnicodeService$/}, () => ({path: join(here, "src", "unicodeservice.js")}));
    onLoad({filter: /style-mod\.js$|xterm\.mjs$/}, ({path}) => {
      let contents = readFileSync(path, "utf8");
      const patches = Object.entries(PATCHES).find(([name]) => path.endsWith(name))?.[1] ?? [];
      for (const [times, old, fresh] of patches) {
        const found = contents.split(old).length - 1;
        if (found !== times) {
          throw new Error(`${path}: ${old} stands there ${found} times, not ${times}`);
        }
        contents = contents.replaceAll(old, fresh);
      }
      if (path.endsWith("xterm.mjs")) {
        contents = `import {styleElement} from ${JSON.stringify(join(here, "src", "styles.js"))};\n${contents}`;
      }
      return {contents};
    });
  },
};

const {outputFiles, metafile} = await build({
  absWorkingDir: here, entryPoints: BUNDLES, outdir: vendor, entryNames: "[name]-[hash]", chunkNames: "shared-[hash]",
  bundle: true, splitting: true, format: "esm", minify: true, target: "es2022", legalComments: "none",
  loader: {".css": "text"}, plugins: [patching], metafile: true, write: false,
});

rmSync(vendor, {recursive: true, force: true});
mkdirSync(vendor, {recursive: true});
for (const {path, contents} of outputFiles) {
  writeFileSync(path, contents);
  if (!process.argv[2]) {
    // The same format as gzip's, 4 % smaller.
    writeFileSync(`${path}.gz`, await zopfli.gzipAsync(contents, {numiterations: 15}));
  }
}

/** @param {string} bundle @returns {string} its file's name */
const fileOf = (bundle) => {
  const names = outputFiles.map(({path}) => basename(path)).filter((name) => new RegExp(`^${bundle}-[A-Z0-9]{8}\\.js$`).test(name));
  if (names.length !== 1) {
    throw new Error(`${bundle}: ${names.join(" ") || "no file"}`);
  }
  return names[0];
};

const packages = [...new Set(Object.keys(metafile.inputs).map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]))].filter(Boolean).sort();
const licences = packages.map((name) => {
  const folder = join(here, "node_modules", name);
  const {version, license} = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, "LICENSE"), "utf8").trim()}\n`;
});
writeFileSync(join(vendor, "LICENSES.txt"), `The bundles in this folder are made of these packages by ide/bundles/build.mjs.\n\n${licences.join(`\n${"-".repeat(80)}\n\n`)}`);

const lines = Object.keys(BUNDLES).map((name) => `  ${JSON.stringify(name)}: () => import("./vendor/${fileOf(name)}"),`);
writeFileSync(join(page, "vendor.js"), `// Where the bundles are: the only file that knows their hashes. Made by ide/bundles/build.mjs.

/** @type {Record<string, () => Promise<any>>} */
const BUNDLES = {
${lines.join("\n")}
};

export const {
  codemirror, "codemirror-more": codemirrorMore, merge, xterm, "xterm-search": xtermSearch, "xterm-webgl": xtermWebgl,
} = BUNDLES;

/** @param {string} name of a language @returns {Promise<any>} what its package exports */
export const language = (name) => BUNDLES[name]();
`);
