// A file that is no text: a picture is shown, anything else can be downloaded.

import {lastOf, shown} from "./base.js";
import {h} from "./dom.js";
import {sizeOf} from "./words.js";

const PICTURES = {png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", avif: "image/avif", ico: "image/x-icon", bmp: "image/bmp"};

/** @param {string} href @param {Uint8Array} bytes @param {string} address @returns {HTMLElement} */
export function viewOf(href, bytes, address) {
  const name = shown(lastOf(href));
  const type = /** @type {Record<string, string>} */ (PICTURES)[name.slice(name.lastIndexOf(".") + 1).toLowerCase()];
  const root = h("div", {class: "blank notext"});
  if (type) {
    const picture = h("img", {alt: name, src: URL.createObjectURL(new Blob([/** @type {any} */ (bytes)], {type}))});
    picture.addEventListener("load", () => { size.textContent = `${picture.naturalWidth} × ${picture.naturalHeight}, ${sizeOf(bytes.length)}`; });
    const size = h("p", {class: "soft"}, sizeOf(bytes.length));
    root.append(picture, size);
  } else {
    root.append(h("p", {}, `${name} is not a text that can be edited here (${sizeOf(bytes.length)}).`));
  }
  root.append(h("p", {}, h("a", {href: address, download: ""}, "Download")));
  return root;
}
